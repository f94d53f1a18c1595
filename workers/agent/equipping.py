"""What scripts run with here, from how they are contained: at a start, and after a set-up."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Final

from workers.agent.exits import EXIT_CANNOT_RUN, StartError
from workers.agent.isolation import Containment, choose_containment
from workers.agent.running.hardware import Machine
from workers.agent.running.interpreter import inspect_interpreter, own_interpreter
from workers.agent.setup.choose import setup_words, unused_gpus, with_note
from workers.agent.setup.environments import Environments
from workers.agent.state import StateFolder
from workers.agent.status.board import StatusBoard
from workers.agent.tasks.renewal import Equipment
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import Hardware, IsolationTier

_MAX_NOTE_CHARACTERS: Final = 300

log = logging.getLogger("xeenet.agent")


def equipment(options: argparse.Namespace, containment: Containment) -> Equipment:
    """Return what scripts run with in this containment, as far as the owner allows it.

    Raises `StartError` where results would be invented and the owner forbids that.
    """
    uploads = accepts_uploads(options, containment)
    return Equipment(
        containment.machine,
        containment.sandbox,
        hardware_to_report(containment),
        containment.tier,
        CodePolicy(options.allow_server_code, uploads),
        why_simulated(options, containment.machine),
    )


def chosen_equipment(options: argparse.Namespace, state: StateFolder) -> Equipment:
    """Return the same with the Python that set-up has chosen by now. It takes seconds.

    Raises an error that says why it does not work.
    """
    choice = Environments(state.root).choice()
    python = own_interpreter() if choice is None else inspect_interpreter(Path(choice.python))
    containment = choose_containment(options.isolation, state, python)
    if not containment.machine.can_train:
        raise StartError(containment.machine.why_not, EXIT_CANNOT_RUN)
    return equipment(options, with_note(containment, state.root, unused_gpus(containment)))


def tell(board: StatusBoard, now: Equipment) -> None:
    """Let the board say with what scripts run."""
    hardware = now.machine.hardware
    board.identify(
        tier=str(now.isolation),
        devices=tuple(hardware.get("devices", [])),
        device_name=hardware.get("gpu_name") or hardware.get("cpu_model", ""),
        simulated_because=now.simulated_because,
    )


def accepts_uploads(options: argparse.Namespace, containment: Containment) -> bool:
    """Return whether uploaded scripts may run: in T1, or where the owner explicitly chose T0."""
    if not options.allow_uploaded_scripts:
        return False
    if containment.tier is IsolationTier.T1 or options.isolation == IsolationTier.T0:
        return True
    log.warning(
        "uploaded scripts are not accepted: T1 does not work here (%s). --isolation T0 would run "
        "them with everything that this user may read and reach",
        containment.why_not_t1,
    )
    return False


def hardware_to_report(containment: Containment) -> Hardware:
    """Return the machine's profile, with a note on why T1 does not work when it does not."""
    hardware = containment.hardware
    if not containment.why_not_t1:
        return hardware
    note = f"isolation T1: {containment.why_not_t1}"[:_MAX_NOTE_CHARACTERS]
    return {**hardware, "notes": [*hardware.get("notes", []), note]}


def why_simulated(options: argparse.Namespace, machine: Machine) -> str:
    """Return why results will be simulated; "" when they are measured.

    Raises `StartError` when the owner forbids it.
    """
    if machine.can_train and not options.simulate:
        return ""
    reason = "asked for by --simulate" if machine.can_train else machine.why_not
    if options.no_simulate:
        raise StartError(
            f"This machine cannot train ({reason}) and --no-simulate forbids made-up results. "
            + how_to_get_torch(),
            EXIT_CANNOT_RUN,
        )
    log.warning("=" * 78)
    log.warning("SIMULATED RESULTS ONLY: %s", reason)
    log.warning("Nothing is trained here. Simulated results are marked and never ranked.")
    if not machine.can_train:
        log.warning("%s", how_to_get_torch())
    log.warning("=" * 78)
    return reason


def what_torch_lacks(machine: Machine) -> str:
    """Return why torch does not work here, or not with the GPU; "" where it does."""
    if not machine.can_train:
        return machine.why_not
    notes = machine.hardware.get("notes", [])
    return next((note for note in notes if note.startswith("GPU not used")), "")


def how_to_get_torch() -> str:
    """Return what to type for torch."""
    return f"Fetch torch for this machine: {setup_words()}"
