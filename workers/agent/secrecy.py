"""Keep the agent's secrets from other processes, including the scripts that it runs.

Everybody on the machine can read the arguments of a process, and every process of the same user can
read its environment and memory. So tokens leave the command line before any script starts, and on
Linux the kernel is told to protect the agent's own process.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from workers.agent.executables import own_executable

TOKEN_VARIABLE: Final = "XEENET_WORKER_TOKEN"  # noqa: S105 (a name, not a secret)
ENROLMENT_VARIABLE: Final = "XEENET_ENROLMENT_TOKEN"
FLEET_VARIABLE: Final = "XEENET_FLEET_TOKEN"
SECRET_VARIABLES: Final = (TOKEN_VARIABLE, ENROLMENT_VARIABLE, FLEET_VARIABLE)
_OPTION_VARIABLES: Final = {"--token": TOKEN_VARIABLE, "--enrol": ENROLMENT_VARIABLE}
_PR_SET_DUMPABLE: Final = 4


def close_own_process() -> bool:
    """Keep processes of the same user from reading this process's environment, memory and files.

    Return success. It works only on Linux and not against root, and an exec undoes it.
    """
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)


def move_secrets_out_of_the_arguments() -> None:
    """Restart this program without the tokens on its command line, if there are any.

    The restart is an exec, so the process id stays the same. Windows cannot do this and does not
    need it: it shows arguments to the same user only.
    """
    if os.name != "posix":
        return
    arguments, secrets = split_secrets(sys.orig_argv[1:])
    if secrets:
        program = own_executable()  # with the same arguments: the agent, or its Python
        os.execve(program, [program, *arguments], {**os.environ, **secrets})


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
