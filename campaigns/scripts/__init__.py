"""Which uploaded training scripts may run? Their source, their contract, and their approval."""
