"""The commands of ``dev.py``: set-up, tests, locks. Standard library only, no Django."""
