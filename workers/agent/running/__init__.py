"""A script in an environment of its own, under two deadlines, with or without a sandbox."""
