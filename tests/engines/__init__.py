"""What `make engines` runs: Slurm and Ray for real on this machine, each with two nodes."""
