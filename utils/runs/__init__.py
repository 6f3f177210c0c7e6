"""A run of the evaluation: from batches of samples to results on disk, and the comparison of two runs."""
