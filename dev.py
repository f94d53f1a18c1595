#!/usr/bin/env python3
"""Entry point for developers: ``python dev.py COMMAND``; ``help`` lists the commands.

This file uses only syntax that every Python understands, so that a too old one prints a clear
message instead of a SyntaxError. ``devtools`` does the work, with the standard library alone.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "XeeNet needs Python 3.11 or newer, this is %d.%d. Run it with a newer one, for example: "
        "python3.12 dev.py, or make PYTHON=python3.12" % sys.version_info[:2]
    )

if __name__ == "__main__":
    from devtools.cli import main

    sys.exit(main(sys.argv[1:]))
