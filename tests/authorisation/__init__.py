"""Who may do what: every route asked as every kind of caller, beside a table that is checked in.

``python -m tests.authorisation`` prints what differs from ``table.csv``; ``--write`` makes the
table anew, after which its diff says what a change opens or closes.
"""
