"""How fast are the workers? Their newest calibrations, and the reference that budgets speak of."""
