"""A run as one file for other programs, with proof that it predicts what the run does."""
