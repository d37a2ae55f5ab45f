"""The report of a run, or of several beside each other: one HTML file that needs nothing else."""
