"""Workers: their records on the server, and the agent program that runs on their machines.

Importing this package must import neither Django nor torch: the agent runs on machines without
Django, and uses torch only in subprocesses.
"""
