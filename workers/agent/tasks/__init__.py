"""One task: its script and data set, its run, and what is submitted."""
