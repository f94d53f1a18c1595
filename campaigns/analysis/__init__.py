"""What a campaign's results mean: which parameters matter, how values spread, what differs.

`reading`, `attempts`, `comparison`, `curves`, `estimates` and `seeds_of_point` read the database;
the other modules are pure functions on what those return, and a contract in pyproject.toml keeps
them so.
"""
