"""What may be tried: the search space, its constraints, samplers, editor and import. Pure."""
