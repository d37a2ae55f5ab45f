"""``zoo auto``: the best classifier that the data, the machine and the given time allow."""
