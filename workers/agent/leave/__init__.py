"""Ends a worker: on its server, and then on this machine as far as its owner wants."""
