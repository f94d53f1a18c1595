"""English with ISO dates (which sort) and 24-hour times."""
