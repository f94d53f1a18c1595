"""The fleet token of a cluster: from a file or the environment, never from the command line."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from workers.agent.exits import EXIT_USAGE, StartError
from workers.agent.files import open_regular
from workers.agent.secrecy import FLEET_VARIABLE, take_secret

FLEET_PREFIX: Final = "xf_"
ONLY_EPHEMERAL: Final = (
    "This is a fleet token: use it with --ephemeral, and --fleet-token-file or XEENET_FLEET_TOKEN."
)
_TOKEN: Final = re.compile(r"xf_[!-~]+")  # it becomes a header, which is one line of ASCII
_MAX_FILE_BYTES: Final = 4096


def fleet_token(path: Path | None, *, private: bool = False) -> str:
    """Return the token in the file, without a path that of the environment.

    It is taken out of the environment. Raises `StartError` where there is none, and with `private`
    for a file that others can read.
    """
    token, place = take_secret(FLEET_VARIABLE).strip(), FLEET_VARIABLE
    if path is not None:
        try:
            # Kubernetes mounts the file of a secret as a link.
            with open_regular(path.expanduser(), follow_links=True) as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_MAX_FILE_BYTES)
        except OSError as error:
            raise StartError(f"The fleet token cannot be read: {error}", EXIT_USAGE) from error
        if private and os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise StartError(
                f"Others can read {path}, which has a token. Change that: chmod 600 {path}",
                EXIT_USAGE,
            )
        token, place = content.decode("ascii", "replace").strip(), str(path)
    if not token and path is None:
        raise StartError(
            "A fleet token is needed: name its file with --fleet-token-file, or put it into "
            f"{FLEET_VARIABLE}. An operator of the server makes it.",
            EXIT_USAGE,
        )
    if not _TOKEN.fullmatch(token):
        raise StartError(
            f"{place} holds no fleet token, which is one word that begins with {FLEET_PREFIX}.",
            EXIT_USAGE,
        )
    return token
