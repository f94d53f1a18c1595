"""What `make images` runs, and what CI checks of Containerfile and compose.yaml."""
