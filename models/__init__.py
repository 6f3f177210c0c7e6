"""Pretrained networks by role: one role a file, one family a class, loaded alike from a folder or a hub id."""
