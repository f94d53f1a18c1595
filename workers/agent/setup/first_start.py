"""At an agent's start: asks whether torch should be set up, where that would let it do more."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from workers.agent.isolation import Containment
from workers.agent.plain_text import plain
from workers.agent.setup.choose import remove_former, setup_words, unused_gpus, with_note
from workers.agent.setup.command import confirm, gpu_text, is_interactive, plan_lines
from workers.agent.setup.environments import Environments, SetUpRuns
from workers.agent.setup.process import Prospect, Request, SetUpFailed, SetUpProcess
from workers.agent.setup.progress import Reporter, file_sink, read_progress, terminal_sink
from workers.agent.setup.uv import UvMissing
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import SetUpStep

log = logging.getLogger("xeenet.agent")


def ready(
    state_root: Path,
    board: StatusBoard,
    choose: Callable[[], Containment],
    *,
    asks: bool,
    agrees: bool,
) -> Containment:
    """Return how scripts run, after a set-up of torch where one helps and the owner wants it.

    ``choose`` tries the Python that is chosen at the time. ``asks`` lets it ask a person at the
    terminal, once ever; ``agrees`` is the answer yes to that.
    """
    containment = choose()
    gpus = unused_gpus(containment)
    helps = bool(gpus) or not containment.machine.can_train
    is_new = Environments(state_root).choice() is None
    if helps and is_new and (agrees or (asks and _may_ask(state_root))):
        can_train = containment.machine.can_train
        if _set_up(state_root, board, can_train=can_train, agrees=agrees):
            containment = choose()
            gpus = unused_gpus(containment)
    if containment.machine.can_train:
        remove_former(state_root)
    return with_note(containment, state_root, gpus)


def _may_ask(state_root: Path) -> bool:
    """Return whether a person is there who has not said no; without one, log what can be done."""
    former = read_progress(state_root)
    if former is not None and former.step is SetUpStep.DECLINED:
        return False
    if is_interactive():
        return True
    log.info("%s fetches torch for this machine", setup_words())
    return False


def _set_up(state_root: Path, board: StatusBoard, *, can_train: bool, agrees: bool) -> bool:
    """Set up torch if the owner wants it now; return whether that was done."""
    try:
        process = SetUpProcess(state_root, Request())
        prospect = process.prospect()
        helps = prospect.plan.wants_gpu or not can_train
        if not prospect.plan.builds or not helps:
            return False
        board.setting_up("waits for an answer at its terminal: should torch be set up?")
        if not agrees and not _agreed(state_root, process, prospect):
            return False
        terminal = [terminal_sink(sys.stderr, sentences=False)] if sys.stderr.isatty() else []
        reporter = Reporter([*terminal, board.torch_setup, file_sink(state_root)])
        reporter.carry_out(lambda: process.carry_out(prospect, reporter).reason)
    except SetUpFailed:  # the status and its log have it
        return False
    except (SetUpRuns, UvMissing, OSError) as error:
        log.warning("torch is not set up: %s", error)
        return False
    return True


def _agreed(state_root: Path, process: SetUpProcess, prospect: Prospect) -> bool:
    """Show the plan and ask; a no is remembered."""
    for gpu in process.gpus:
        print(plain(f"GPU      {gpu_text(gpu)}"))
    for line in plan_lines(prospect, process):
        print(plain(line))
    if confirm("Set up torch for this machine now?"):
        return True
    Reporter([file_sink(state_root)]).step(SetUpStep.DECLINED, "not wanted; nobody asks again")
    print(plain(f"Not now. {setup_words()} does it at any time."))
    return False
