#!/usr/bin/env python
"""Django's command-line entry point for XeeNet."""

import os
import sys


def main() -> None:
    """Run one management command with the project's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "xeenet_site.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed for this Python. Run `python dev.py setup` once, "
            "then use .venv/bin/python (on Windows .venv\\Scripts\\python)."
        ) from error
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
