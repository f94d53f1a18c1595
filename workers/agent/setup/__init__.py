"""`xeenet-worker setup`: a Python for the scripts whose torch can use the GPU of this machine."""
