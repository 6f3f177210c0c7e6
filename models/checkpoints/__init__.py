"""Where weights come from: a folder, or the hub and its cache."""
