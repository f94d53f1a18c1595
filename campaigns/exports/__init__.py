"""What leaves the server as a file: result rows, Optuna storage, bundles of one task."""
