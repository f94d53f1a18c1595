"""``python -m tests.mutants [WORD…]``: run the mutants whose names hold a WORD, or all of them."""

import sys

from tests.mutants.run import main

sys.exit(main(sys.argv[1:]))
