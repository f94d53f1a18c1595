"""Who may do what: requests every route as every kind of caller and compares with a stored table.

``python -m tests.authorisation`` prints the differences to ``table.csv``. ``--write`` replaces the
table; its diff then shows which doors a change opens or closes.
"""
