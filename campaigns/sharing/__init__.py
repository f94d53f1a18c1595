"""Whose turn is it, where campaigns share machines? Pure."""
