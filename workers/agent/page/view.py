"""The status as the page draws it: the same words as in log, card and `status`. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from workers.agent.status import words
from workers.agent.status.model import (
    Fault,
    PausedBy,
    Phase,
    RunningTask,
    SetUpStep,
    State,
    Status,
    Trouble,
)

_TONES: Final = {
    State.SETTING_UP: "soft",
    State.MEASURING: "live",
    State.IDLE: "soft",
    State.WORKING: "live",
    State.PAUSED: "amber",
    State.TROUBLE: "red",
    State.DRAINING: "amber",
    State.STOPPED: "soft",
}
_NAMED: Final = frozenset({State.IDLE, State.TROUBLE})  # their sentences do not name the state
_FIRST_WORD: Final = re.compile(r"Setting up|Set-up of torch|\w+")
# Below this share an estimate from steps would be a guess.
_LEAST_SHARE: Final = 0.02


def view(status: Status, now: float, *, has_worker: bool) -> dict[str, Any]:
    """Return what the page shows of a status. ``has_worker``: it takes pauses and drains."""
    who = status.identity
    is_ending = bool(status.draining) or status.exit_code is not None
    return {
        "name": who.name or "This worker",
        "about": [words.safe(part) for part in words.about(who)],
        "version": who.version,
        "age": words.span(now - who.started_at),
        "state": str(status.state),
        "tone": _tone(status),
        "headline": headline(status, now),
        "results": _results(status),
        "tasks": [_task(task, who.server, now) for task in status.tasks],
        "then": [words.safe(words.sentence(text)) for text in _then(status, now)],
        "troubles": [_trouble(trouble) for trouble in status.troubles],
        "setup": _setup(status),
        "may_use": words.safe(words.may_use(status)),
        "measured": words.safe(words.sentence(status.measured)),
        "can": {
            "pause": has_worker and not is_ending and not _is_paused_by_hand(status),
            "resume": has_worker and not is_ending and _is_paused_by_hand(status),
            "drain": has_worker and not is_ending,
            "stop": status.exit_code is None,
        },
        "lost_by_stop": _lost_by_stop(status),
    }


def time_left(task: RunningTask, now: float) -> float | None:
    """Return about how many seconds a task has to go; None as long as nobody can know."""
    if task.trained_since is None or task.phase is not Phase.TRAINING:
        return None
    spent = max(0.0, now - task.trained_since)
    if not task.max_steps:
        return max(0.0, task.budget_seconds - spent)
    share = words.share_done(task, now)
    return spent * (1 - share) / share if share >= _LEAST_SHARE else None


def _tone(status: Status) -> str:
    if status.state is State.TROUBLE and not any(map(_needs_person, status.troubles)):
        return "amber"  # it mends itself
    return _TONES[status.state]


def _needs_person(trouble: Trouble) -> bool:
    return bool(trouble.advice) or trouble.fault is Fault.MACHINE


def headline(status: Status, now: float) -> list[str]:
    """Return the sentence of the state, its first words apart."""
    text = words.headline(status, now)
    if status.state is State.WORKING and len(status.tasks) == 1:
        task = status.tasks[0]
        return [words.sentence(task.phase), words.safe(f" for “{task.campaign}”")]
    if status.state is State.WORKING:  # tasks, and pauses after them, are shown beside it
        text = f"Working on {len(status.tasks)} tasks."
    elif status.state in _NAMED:
        text = f"{words.sentence(status.state)}. {text}"
    match = _FIRST_WORD.match(text)
    first = match.group() if match is not None else ""
    return [words.safe(first), words.safe(text[len(first) :])]


def _then(status: Status, now: float) -> list[str]:
    """Return what follows the running tasks."""
    if status.state is not State.WORKING:
        return []
    return [f"then {words.pause_text(pause, now)}" for pause in status.pauses]


def _results(status: Status) -> dict[str, str]:
    """Return whether results are measured or invented; {} while that is not known."""
    who = status.identity
    if not who.tier:
        return {}
    if who.simulated_because:
        why = f"Nothing is trained here ({who.simulated_because}). Such results never rank."
        return {"word": "SIMULATED", "why": words.safe(why)}
    return {"word": "REAL", "why": "Results are measured on this machine."}


def _task(task: RunningTask, server: str, now: float) -> dict[str, Any]:
    left = time_left(task, now)
    figures = [words.progress_text(task, now), words.latest(task)]
    if left is not None and left >= 1:
        figures.append(f"about {words.span(left)} left")
    if task.step is not None and not task.max_steps:
        figures.insert(1, f"step {task.step:,}")
    return {
        "campaign": words.safe(task.campaign),
        "number": words.safe(task.number),
        "figures": [words.safe(figure) for figure in figures if figure],
        "params": words.safe(words.params_text(task)),
        "share": round(words.share_done(task, now), 4),
        "is_training": task.phase is Phase.TRAINING,
        "address": campaign_address(server, task.campaign_id),
        "metric": words.safe(task.metric.name),
        "curve": [
            [round(seconds, 2), round(value, task.metric.decimals)] for seconds, value in task.curve
        ],
        "newest": task.metric.text(task.curve[-1][1]) if task.curve else "",
    }


def _setup(status: Status) -> dict[str, Any]:
    """Return how far the set-up of torch is, or how one of this start ended; {} without one."""
    setup, who = status.torch_setup, status.identity
    if setup is None or setup.step is SetUpStep.DECLINED:
        return {}
    if not setup.is_running and setup.since < who.started_at:
        return {}
    text = words.sentence(words.setup_text(setup))
    if status.state is State.SETTING_UP and setup.is_running:
        text = ""  # the headline says it
    if setup.step is SetUpStep.DONE and setup.pid != who.pid:  # it ran beside this agent
        text += " The worker uses it from its next task on."
    tone = {SetUpStep.FAILED: "amber", SetUpStep.DONE: "soft"}.get(setup.step, "")
    share = None if setup.share is None else round(setup.share, 3)
    return {"text": words.safe(text), "share": share, "tone": tone, "runs": setup.is_running}


def _trouble(trouble: Trouble) -> dict[str, str]:
    tone = "red" if _needs_person(trouble) else "amber"
    return {"text": words.safe(words.sentence(words.trouble_text(trouble))), "tone": tone}


def campaign_address(server: str, campaign_id: int) -> str:
    """Return the address of a campaign's page; "" where there is none."""
    if campaign_id <= 0 or not server.startswith(("https://", "http://")):
        return ""
    return f"{server}/campaigns/{campaign_id}/"


def _is_paused_by_hand(status: Status) -> bool:
    return status.pause_by(PausedBy.OWNER) is not None


def _lost_by_stop(status: Status) -> str:
    if not status.tasks:
        return "Nothing runs now, so nothing is lost."
    running = words.count(len(status.tasks), "task")
    verb = "goes" if len(status.tasks) == 1 else "go"
    return f"{running} {verb} back to the server; the work on it so far is lost."
