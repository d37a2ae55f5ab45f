"""The charts of all pages as SVG: numbers in, markup out."""
