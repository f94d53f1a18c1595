"""What a campaign's results mean: which parameters matter, how values spread, what differs.

`reading`, `attempts`, `comparison`, `curves`, `estimates` and `seeds_of_point` read the database;
`compared_params` makes rows of what `comparison` read.
The other modules are pure functions on the data that those return; a contract in pyproject.toml
enforces it.
"""
