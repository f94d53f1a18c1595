"""Workers: who they are on the server, and the agent program that runs on their machines.

Importing this package imports neither Django nor torch: the agent depends on that.
"""
