"""``python -m xeenet_site.running.probe [PATH]``: does the web server of this container answer?

For the health checks of the images. It imports no Django, so that a look every few seconds costs
little. PATH is /healthz (the default) or /readyz. Exit status 0 for an answer of 200, otherwise 1,
with the reason in one line.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

PATHS: Final = ("/healthz", "/readyz")
_PORT: Final = 8000
_PATIENCE_SECONDS: Final = 5.0
_MOST_BYTES: Final = 500


def known_host(variables: Mapping[str, str]) -> str:
    """Return a host name that ALLOWED_HOSTS accepts."""
    names = [name.strip().lstrip(".") for name in variables.get("ALLOWED_HOSTS", "").split(",")]
    return next((name for name in names if name not in {"", "*"}), "localhost")


def look(path: str, host: str, port: int = _PORT) -> str:
    """Return what is wrong with the answer of 127.0.0.1 to `path`; "" when it is 200."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    with contextlib.closing(line):
        try:
            line.request("GET", path, headers={"Host": host})
            answer = line.getresponse()
            text = answer.read(_MOST_BYTES).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return f"port {port} does not answer: {error}"
    return "" if answer.status == http.client.OK else f"{path}: {answer.status} {text}"


def main(arguments: Sequence[str]) -> int:
    """Look once; return the exit status."""
    path = arguments[0] if arguments else PATHS[0]
    if len(arguments) > 1 or path not in PATHS:
        sys.stderr.write(f"usage: python -m xeenet_site.running.probe [{' | '.join(PATHS)}]\n")
        return 2
    problem = look(path, known_host(os.environ))
    if problem:
        sys.stderr.write(f"{problem}\n")
    return int(bool(problem))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
