"""Tests of the owner's rules: what they say, what the machine tells, and what follows."""
