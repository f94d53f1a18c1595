"""Agents and servers of different versions work together."""
