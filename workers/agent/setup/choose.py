"""Which Python the scripts of this agent run with, and what its owner should know of its GPU."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from workers.agent.executables import agent_words
from workers.agent.isolation import Containment
from workers.agent.running.interpreter import (
    Interpreter,
    InterpreterError,
    inspect_interpreter,
    own_interpreter,
)
from workers.agent.setup.detect import Gpu, Host, Places, Vendor, detect, this_host
from workers.agent.setup.environments import Choice, Environments, SetUpRuns
from workers.agent.setup.plan import CPU, make_plan
from workers.protocol import Hardware

_MAX_NOTE_CHARACTERS: Final = 300
_USED: Final = frozenset({"cuda", "mps"})

log = logging.getLogger("xeenet.agent")


def setup_words() -> str:
    """Return how set-up is started here: as a program, or as a module of a checkout."""
    if Path(sys.argv[0]).name.startswith("xeenet-worker"):
        return "xeenet-worker setup"
    return " ".join([*agent_words(), "setup"])


def chosen_interpreter(state_root: Path) -> Interpreter:
    """Return the Python that set-up chose for the agent on ``state_root``, else the agent's own.

    The latter also, with a warning, where the chosen one does not start any more.
    """
    choice = Environments(state_root).choice()
    if choice is None:
        return own_interpreter()
    try:
        return inspect_interpreter(Path(choice.python))
    except InterpreterError as error:
        log.warning("the Python of the set-up is not used: %s. Run %s", error, setup_words())
        return own_interpreter()


def remove_former(state_root: Path) -> None:
    """Remove the environments before the chosen one. Call it when an agent started with that."""
    environments = Environments(state_root)
    if not environments.root.is_dir():
        return
    try:
        with environments.locked():
            if removed := environments.remove_leftovers(keep_previous=False):
                log.info("removed %d environment(s) of former set-ups", removed)
    except (SetUpRuns, OSError) as error:  # the next start does it
        log.debug("former environments stay: %s", error)


def unused_gpus(containment: Containment, places: Places | None = None) -> tuple[Gpu, ...]:
    """Return the GPUs of which torch uses none; nothing where it uses one. It may take seconds.

    Scripts can use no GPU of Intel's, and most processors have one.
    """
    if _USED & set(containment.machine.hardware.get("devices", ())):
        return ()
    return tuple(gpu for gpu in detect(places) if gpu.vendor is not Vendor.INTEL)


def why_unused(
    gpus: Sequence[Gpu], torch_version: str, choice: Choice | None, host: Host | None = None
) -> str:
    """Say why scripts do not use these GPUs."""
    plan = make_plan(gpus, host or this_host())
    if not plan.wants_gpu:
        return f"{plan.reason}. {plan.advice}".strip()
    if choice is not None and choice.device == CPU:
        return choice.reason
    version = f"torch {torch_version}" if torch_version else "no torch"
    return f"{version} here cannot use {gpus[0].name}: run xeenet-worker setup"


def with_note(containment: Containment, state_root: Path, gpus: Sequence[Gpu]) -> Containment:
    """Return the same with a note for the worker's page, where a GPU is not used: which, and why.

    The reason is logged, too.
    """
    if not gpus:
        return containment
    machine = containment.machine
    version = str(machine.hardware.get("torch_version", ""))
    reason = why_unused(gpus, version, Environments(state_root).choice())
    log.warning("the GPU is not used: %s", reason)
    note = f"GPU not used: {reason}"[:_MAX_NOTE_CHARACTERS]
    hardware: Hardware = {**machine.hardware, "notes": [*machine.hardware.get("notes", []), note]}
    return replace(containment, machine=replace(machine, hardware=hardware))
