"""A run behind HTTP: ``zoo serve``."""
