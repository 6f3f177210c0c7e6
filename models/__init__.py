"""Pretrained networks: a folder a role, in it the families that can play it, loaded alike from a folder or a hub id."""
