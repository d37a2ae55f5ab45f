"""From prepared images to a finished run."""
