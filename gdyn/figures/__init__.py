"""Results drawn: each module turns the numbers of one analysis into a matplotlib Figure, and computes nothing."""
