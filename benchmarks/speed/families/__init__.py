"""A model family for the benchmark, found as those in `models` are."""
