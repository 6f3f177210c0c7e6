"""Where samples come from: how a dataset folder is read and checked, what imports or generates one, and examples."""
