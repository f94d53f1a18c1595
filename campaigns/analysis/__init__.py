"""What a campaign's results say about its parameters: computed from plain rows, drawn elsewhere.

`runs` and `attempts` read the database; the other modules are pure functions on what they return.
"""
