"""Where samples come from: the folder layout, importers and the bundled examples."""
