"""The test suite: flat, one file per verb, endpoint, page or module."""
