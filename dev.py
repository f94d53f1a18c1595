#!/usr/bin/env python3
"""The developer's one door: ``python dev.py COMMAND``. ``python dev.py help`` lists the commands.

This file keeps to syntax that every Python understands, so that a too old one prints a sentence
and not a SyntaxError. The work is done in ``devtools``, standard library only.
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
