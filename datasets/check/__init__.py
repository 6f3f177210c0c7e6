"""Tells what is wrong with a dataset folder before hours go into scoring on it."""
