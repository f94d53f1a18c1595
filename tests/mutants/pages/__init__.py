"""Guards of what pages say and draw."""
