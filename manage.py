#!/usr/bin/env python
"""Django's command-line entry point for XeeNet."""

import os
import sys


def main() -> None:
    """Run one management command with the project's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "xeenet_site.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed for this Python. Run `python dev.py setup` once, "
            "then use .venv/bin/python (on Windows .venv\\Scripts\\python)."
        ) from error
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # Invalid settings: print only the message, which says what to do, without a traceback.
        raise SystemExit(f"Configuration: {error}") from error


if __name__ == "__main__":
    main()
