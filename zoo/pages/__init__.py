"""Pages that need nothing beside them: one style, one script, charts as SVG."""
