"""A worker for one job: what its machine is called, what it leaves behind, and when it ends."""
