"""Exports as files: result rows, Optuna studies, and bundles that repeat one task."""
