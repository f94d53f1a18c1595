"""Guards taken out one at a time: each mutant must be caught by a test that is named for it.

``make mutants`` applies each to a copy of the tree and runs its tests; what survives is a guard
that no test holds. A new guard gets a row in one of the tables here.
"""
