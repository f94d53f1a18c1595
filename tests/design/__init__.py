"""Tests of campaigns/design and of the checks before a launch."""
