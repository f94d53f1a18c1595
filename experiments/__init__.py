"""Experiments: self-contained training scripts, their search spaces and their data sets."""
