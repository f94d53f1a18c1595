"""Which isolation tier this machine offers: tested at the start by running in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from workers.agent.exits import EXIT_CANNOT_RUN, StartError
from workers.agent.processes.enclosure import best_enclosure
from workers.agent.running.hardware import Machine, inspect_machine
from workers.agent.running.interpreter import Interpreter
from workers.agent.running.sandbox import Sandbox, SandboxUnavailable, find_sandbox, gpu_devices
from workers.agent.state import StateFolder
from workers.protocol import Hardware, IsolationTier

AUTO: Final = "auto"
CHOICES: Final = (AUTO, *IsolationTier)
_INSTALL: Final = "Install bubblewrap 0.8 or newer (Debian and Ubuntu: apt-get install bubblewrap)"

_MAX_NOTE_CHARACTERS: Final = 300

Inspect = Callable[[Sandbox | None], Machine]

log = logging.getLogger("xeenet.agent")


@dataclass(frozen=True)
class Containment:
    """How scripts run on this machine, and the machine's profile in that tier.

    ``why_not_t1`` is empty when there is a sandbox, or when the owner does not want one.
    """

    machine: Machine
    sandbox: Sandbox | None = None
    why_not_t1: str = ""

    @property
    def hardware(self) -> Hardware:
        """The machine's profile, with a note when the end of a script is not sure in its tier.

        An old server shows the note like any other.
        """
        hardware = self.machine.hardware
        if self.sandbox is not None or not (why_not := best_enclosure().why_not):
            return hardware
        note = f"isolation T0: what a script detaches may outlive it. {why_not}"
        return {**hardware, "notes": [*hardware.get("notes", []), note[:_MAX_NOTE_CHARACTERS]]}

    @property
    def tier(self) -> IsolationTier:
        """The tier to report to the server."""
        return IsolationTier.T0 if self.sandbox is None else IsolationTier.T1


def choose_containment(
    wanted: str, state: StateFolder, python: Interpreter | None = None
) -> Containment:
    """Return the best tier that works when ``wanted`` is "auto", otherwise the wanted tier.

    Scripts run with ``python``, by default the agent's own. Raises `StartError` when T1 is wanted
    and does not work.
    """

    def inspect(sandbox: Sandbox | None) -> Machine:
        tag = state.tag_prefix + "torch-check"
        return inspect_machine(state.work, tag, sandbox=sandbox, python=python)

    if wanted == IsolationTier.T0:
        return Containment(inspect(None))
    try:
        sandbox = find_sandbox(state.root, state.work, state.tag_prefix + "sandbox-check", python)
        return _contained(sandbox, inspect, bool(gpu_devices()))
    except SandboxUnavailable as problem:
        if wanted == IsolationTier.T1:
            message = f"Isolation T1 does not work here: {problem}. {_INSTALL}, or use T0."
            raise StartError(message, EXIT_CANNOT_RUN) from problem
        return Containment(inspect(None), why_not_t1=str(problem))


def _contained(sandbox: Sandbox, inspect: Inspect, has_gpu: bool) -> Containment:
    """Return T1 with the machine's profile inside the sandbox.

    Raises `SandboxUnavailable` when torch finds a device outside but not inside: the sandbox is not
    worth the loss of torch or the GPU. The inspection outside takes seconds, so it runs only when a
    device might be missing inside.
    """
    inside = inspect(sandbox)
    devices = inside.hardware.get("devices", [])
    if devices and (not has_gpu or len(devices) > 1):
        return Containment(inside, sandbox)
    outside = inspect(None)
    missing = [name for name in outside.hardware.get("devices", []) if name not in devices]
    if missing:
        raise SandboxUnavailable(
            f"torch finds no {' or '.join(missing)} in the sandbox: {inside.why_not}"
        )
    return Containment(inside, sandbox)
