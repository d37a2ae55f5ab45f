"""``zoo tune`` and ``zoo sweep``: which settings are best, judged by validation images alone."""
