"""Pages that are self-contained: one style, one script, charts as SVG."""
