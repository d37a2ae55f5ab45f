"""Why is a classifier not good enough? Checks that read a finished run and name its faults."""
