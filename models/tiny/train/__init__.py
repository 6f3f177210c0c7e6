"""Rebuilds every bundled weight from the stamps world: `python -m models.tiny.train`."""
