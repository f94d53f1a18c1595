"""Which params may a campaign try? Search space, constraints, samplers, editor and import. Pure."""
