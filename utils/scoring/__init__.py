"""From a score map and its ground truth to numbers with intervals: formulas only, no files."""
