"""Guards on a worker's machine: the agent, its walls, and how fast it is."""
