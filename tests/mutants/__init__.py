"""Mutants: patches that remove one guard each, which a test named in the row must notice.

``make mutants`` applies each mutant to a copy of the tree and runs its tests. A mutant that
survives shows a guard that no test covers. Add a row to one of the tables for each new guard.
"""
