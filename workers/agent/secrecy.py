"""Keep the agent's secrets from the processes around it, the scripts it runs among them.

Arguments of a process can be read by everybody on the machine, its environment and memory by
everything that runs as the same user. So tokens leave the command line before any script starts,
and on Linux the kernel is told to keep the agent's own process closed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

TOKEN_VARIABLE: Final = "XEENET_WORKER_TOKEN"  # noqa: S105 (a name, not a secret)
ENROLMENT_VARIABLE: Final = "XEENET_ENROLMENT_TOKEN"
_OPTION_VARIABLES: Final = {"--token": TOKEN_VARIABLE, "--enrol": ENROLMENT_VARIABLE}
_PR_SET_DUMPABLE: Final = 4


def close_own_process() -> bool:
    """Let no process of the same user read this one's environment, memory or files; say whether.

    Only Linux can, and root is not kept out. A program that this one becomes starts open again.
    """
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)


def move_secrets_out_of_the_arguments() -> None:
    """Start this program anew without tokens on its command line when there are some.

    The process stays the same one. Windows keeps its arguments to the user and cannot do this.
    """
    if os.name != "posix":
        return
    arguments, secrets = split_secrets(sys.orig_argv[1:])
    if secrets:
        os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **secrets})


def split_secrets(arguments: Sequence[str]) -> tuple[list[str], Mapping[str, str]]:
    """Return the arguments without tokens, and the tokens by the variable that takes them."""
    kept: list[str] = []
    secrets: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        variable = _OPTION_VARIABLES.get(option)
        if variable is None or not (equals or rest):
            kept.append(word)
        else:
            secrets[variable] = value if equals else rest.pop(0)
    return kept, secrets


def take_secret(variable: str) -> str:
    """Return a secret from the environment and remove it there; "" when there is none."""
    return os.environ.pop(variable, "")
