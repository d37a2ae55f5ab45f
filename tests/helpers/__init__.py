"""What several test modules use, imported as ``tests.helpers``."""
