"""Guards of the site: heads of requests, logs, the base path, running processes, its database."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

LOGS: Final = "xeenet_site/logs.py"
DOOR: Final = "xeenet_site/front_door.py"
GROWTH: Final = ("tests/running/test_growth.py",)
HEADS: Final = ("tests/running/test_front_door.py",)

SITE: Final = (
    Mutant(
        "growth: a quadratic pattern hides passwords in addresses",
        LOGS,
        'r"(://[^\\s:/@]*+:)',
        'r"(\\b[a-z][a-z0-9+.-]*://[^\\s:/@]*:)',
        (*GROWTH, "-k", "regular_expression and logs"),
    ),
    Mutant(
        "growth: the log takes values of any length",
        LOGS,
        "    if len(text) <= most:\n",
        "    if True:\n",
        (*GROWTH, "-k", "long_text or strange_values"),
    ),
    Mutant(
        "growth: a cut leaves half a token in the log",
        LOGS,
        "[: most - tail])[:-_EDGE_CHARACTERS]",
        "[: most - tail])",
        (*GROWTH, "-k", "half_there"),
    ),
    Mutant(
        "heads: Django reads headers of any length",
        DOOR,
        "        if problem is not None:\n",
        "        if False:\n",
        HEADS,
    ),
    Mutant(
        "heads: the content type may be as long as other headers",
        DOOR,
        '    "CONTENT_TYPE": 256,\n',
        '    "CONTENT_TYPE": 40_000,\n',
        HEADS,
    ),
    Mutant(
        "heads: quoted cookies of any number",
        DOOR,
        'if environ.get("HTTP_COOKIE", "").count("\\\\") > MAX_COOKIE_BACKSLASHES:',
        "if False:",
        HEADS,
    ),
)
