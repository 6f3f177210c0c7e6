"""What the importers of published benchmarks share."""
