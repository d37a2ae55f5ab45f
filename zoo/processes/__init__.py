"""Work in child processes: start one, hear it and end it; which process owns what; its threads."""
