"""The sentences of log, card and `status`. Pure: the same status has the same words everywhere."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

from workers.agent.plain_text import plain
from workers.agent.status.model import (
    Delivery,
    EndedTask,
    Ending,
    Fault,
    Identity,
    Pause,
    PausedBy,
    RunningTask,
    Scalar,
    SetUp,
    State,
    Status,
    Totals,
    Trouble,
)
from workers.protocol import FailureClass, IsolationTier

_GIB: Final = 1024**3
_MIB: Final = 1024**2
_DAY_SECONDS: Final = 24 * 3600.0
_REASON_CHARACTERS: Final = 160  # in a headline; the task that failed says all of it
_LONG_SECONDS: Final = 120.0  # shorter budgets are told in seconds

BLAME: Final = {
    Fault.NETWORK: "the network's trouble",
    Fault.SERVER: "the server's trouble",
    Fault.MACHINE: "this machine's trouble",
    Fault.SCRIPT: "the script's fault, not yours",
    Fault.OWNER: "your settings forbid it",
    Fault.NOBODY: "nobody's fault",
}
_FAULTS: Final = {
    FailureClass.LOST: Fault.NETWORK,
    FailureClass.ENV_ERROR: Fault.MACHINE,
    FailureClass.REFUSED: Fault.OWNER,
    FailureClass.TOO_SLOW: Fault.NOBODY,
    FailureClass.TIMEOUT: Fault.NOBODY,  # the script may be slow, or the machine busy
}
_FAILURES: Final = {
    FailureClass.LOST: "connection lost",
    FailureClass.SCRIPT_ERROR: "the script ended with an error",
    FailureClass.NO_JSON: "the script printed no result",
    FailureClass.INVALID_RESULT: "the script's result is not valid",
    FailureClass.TIMEOUT: "no result within its time",
    FailureClass.OOM: "the script ran out of memory",
    FailureClass.DISK_FULL: "the script used up its disk space",
    FailureClass.OUTPUT_FLOOD: "the script printed too much",
    FailureClass.ENV_ERROR: "this machine cannot run it",
    FailureClass.REFUSED: "not allowed here",
    FailureClass.TOO_SLOW: "this machine is too slow for it",
}
_MENDED: Final = {
    "claim": "the server answers again",
    "heartbeat": "heartbeat is back",
    "delivery": "results are taken again",
    "outbox": "there is room for results again",
    "disk": "the disk has room again",
    "processes": "the processes are gone",
    "fleet": "there is a place in the fleet",
}
_WHO: Final = {
    PausedBy.OWNER: "by you",
    PausedBy.SERVER: "by the server",
    PausedBy.RULE: "by your rules",
    PausedBy.AGENT: "by itself",
}


def fault_of(failure_class: str) -> Fault:
    """Return whose fault a failure of this class is."""
    try:
        return _FAULTS.get(FailureClass(failure_class), Fault.SCRIPT)
    except ValueError:  # a class that this version does not know
        return Fault.NOBODY


def failure_words(failure_class: str) -> str:
    """Return a failure class in words."""
    try:
        return _FAILURES[FailureClass(failure_class)]
    except ValueError:
        return failure_class or "failed"


def span(seconds: float) -> str:
    """Return a duration in its two largest units: 41 s, 1 m 12 s, 3 h 12 m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} m {rest} s" if rest else f"{minutes} m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if minutes else f"{hours} h"


def short_span(seconds: float) -> str:
    """Return the duration of a run: with a decimal below ten seconds."""
    return f"{seconds:.1f} s" if 0 <= seconds < 9.95 else span(seconds)


def clock(instant: float, now: float) -> str:
    """Return when something is, by the wall clock: 07:00, or with its day when that is far."""
    form = "%H:%M" if abs(instant - now) < _DAY_SECONDS else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(instant))


def size(count: int) -> str:
    """Return a number of bytes in GB or MB."""
    if count >= _GIB:
        return f"{count / _GIB:.1f}".removesuffix(".0") + " GB"
    return f"{count / _MIB:.0f} MB"


def scalar(value: Scalar) -> str:
    """Return a param's value as it is written in configs."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def params_text(task: RunningTask) -> str:
    """Return what the task tries: its params and its seed."""
    parts = [f"{name} {scalar(value)}" for name, value in task.params.items()]
    if task.seed is not None:
        parts.append(f"seed {task.seed}")
    return ", ".join(parts)


def host(server: str) -> str:
    """Return the server's address without its scheme."""
    parts = urlsplit(server)
    return (parts.netloc + parts.path.rstrip("/")) or server


def isolation(tier: str) -> str:
    """Return what a tier means for the owner."""
    return "sandboxed, no network" if tier == IsolationTier.T1 else "no sandbox"


def about(who: Identity) -> list[str]:
    """Return where the agent works and how, in short words: server, isolation, ephemeral."""
    tier = isolation(who.tier) if who.tier else ""
    parts = [host(who.server), tier, "ephemeral" if who.ephemeral else ""]
    return [part for part in parts if part]


def pause_text(pause: Pause, now: float) -> str:
    """Say who paused it, until when and why."""
    until = f" until {clock(pause.until, now)}" if pause.until is not None else ""
    if pause.until is None and pause.by is PausedBy.OWNER:
        until = " until you resume"
    reason = f": {cut(pause.reason, _REASON_CHARACTERS)}" if pause.reason else ""
    return f"paused {_WHO[pause.by]}{until}{reason}"


def trouble_text(trouble: Trouble) -> str:
    """Say what is wrong, whose fault it is, and what to do."""
    advice = f" {trouble.advice}" if trouble.advice else ""
    return f"{trouble.text.rstrip('.')} ({BLAME[trouble.fault]}).{advice}"


def mended_text(trouble: Trouble) -> str:
    """Say that a trouble is over."""
    return _MENDED.get(trouble.source, f"over: {trouble.text}")


def cold_text(identity: Identity) -> str:
    """Return that tasks start cold, and why; "" when they need not."""
    return f"tasks start cold: {identity.cold_because}" if identity.cold_because else ""


def setup_line(setup: SetUp) -> str:
    """Return what the set-up of torch does or how it ended, as a line of the log."""
    return f"set-up of torch: {setup.sentence}"


def setup_text(setup: SetUp) -> str:
    """Return how far the set-up of torch is, with its bytes."""
    if setup.share is None:
        return setup_line(setup)
    done, total = size(setup.done_bytes), size(setup.total_bytes)
    return f"{setup_line(setup).rstrip('.')}: {done} of about {total}"


def started_text(task: RunningTask) -> str:
    """Return the log's line on a task that begins to train."""
    tried = params_text(task)
    budget = f"{task.max_steps:,} steps" if task.max_steps else short_span(task.budget_seconds)
    return f'runs: "{task.campaign}", {budget}' + (f", {tried}" if tried else "")


def came_out(task: EndedTask) -> str:
    """Return how a task ended: its value, or why it has none, and how long it took."""
    after = _after(task)
    if task.ending is Ending.COMPLETED and task.metric is not None and task.value is not None:
        value = f"{task.metric.name} {task.metric.text(task.value)}{after}"
        return f"{value}, SIMULATED" if task.simulated else value
    if task.ending is Ending.FAILED:
        blame = BLAME[task.fault]
        return f"failed{after}, {failure_words(task.failure_class)} ({blame})"
    if task.ending is Ending.NO_VALUE:
        return f"no value{after}"
    return {
        Ending.GIVEN_BACK: "given back",
        Ending.CANCELLED: "cancelled on the server",
        Ending.LOST: "dropped, its lease had ended",
        Ending.COMPLETED: "done",
    }[task.ending]


def _after(task: EndedTask) -> str:
    return "" if task.seconds is None else f" in {short_span(task.seconds)}"


def delivered(task: EndedTask) -> str:
    """Return what the server said of an ended task, or where its result is; "" without one."""
    match task.delivery:
        case Delivery.ANSWERED:
            return task.said or task.verdict
        case Delivery.WAITING:
            return "its result waits to be sent"
        case Delivery.SENDING:
            return "its result is being sent"
        case Delivery.SET_ASIDE:
            return f"not taken by the server: {task.said}"
    return ""


def ended_text(task: EndedTask) -> str:
    """Return the log's line on an ended task."""
    parts = [came_out(task)]
    if task.message and task.ending is Ending.FAILED:  # it says more than the class
        parts = [f"failed{_after(task)}, {task.message} ({BLAME[task.fault]})"]
    elif task.message and task.ending is not Ending.CANCELLED:
        parts.append(task.message)
    if said := delivered(task):
        parts.append(said)
    return "ended: " + "; ".join(part.rstrip(".") for part in parts)


def label(task: RunningTask | EndedTask) -> str:
    """Return what a task is called in the log."""
    return f"task {task.number}" if task.number else f"lease {task.lease_id[:8]}"


def totals_text(totals: Totals, to_send: int) -> str:
    """Return what became of the tasks since the start."""
    if not totals.ended and not to_send and not totals.accepted:
        return "no task yet"
    parts = [f"{totals.accepted} accepted"]
    if totals.failed:
        parts.append(f"{totals.failed} failed ({_why_failed(totals)})")
    if totals.given_back:
        parts.append(f"{totals.given_back} given back")
    if to_send:
        parts.append(f"{to_send} to be sent")
    return f"{count(totals.ended, 'task')}: " + " · ".join(parts)


def _why_failed(totals: Totals) -> str:
    """Return the most frequent failure, and whose fault it is."""
    top = max(totals.failures, key=lambda name: totals.failures[name], default="")
    fault = fault_of(top)
    blame = "not you" if fault is Fault.SCRIPT else BLAME[fault]
    often = "mostly: " if len(totals.failures) > 1 else ""
    return f"{often}{failure_words(top)}, {blame}"


def count(number: int, word: str) -> str:
    """Return a number with its word, which gets an s when there are several."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def headline(status: Status, now: float) -> str:
    """Say in one sentence what the agent is doing, and why it is not doing more."""
    match status.state:
        case State.STOPPED:
            return f"Stopped{': ' + status.stopped if status.stopped else '.'}"
        case State.DRAINING:
            running = count(len(status.tasks), "task")
            return f"Stopping, {running} left: {status.draining}"
        case State.SETTING_UP:
            if status.torch_setup is not None and status.torch_setup.is_running:
                return f"{sentence(setup_text(status.torch_setup).rstrip('.'))}."
            return f"Setting up: {status.setting_up}."
        case State.MEASURING:
            return f"{sentence(status.measuring)}."
        case State.PAUSED:
            words = "; ".join(pause_text(pause, now) for pause in status.pauses)
            return sentence(words)
        case State.TROUBLE:
            return " ".join(sentence(trouble_text(trouble)) for trouble in status.troubles)
        case State.WORKING:
            rest = "".join(f"; then {pause_text(pause, now)}" for pause in status.pauses)
            works = "; ".join(f'{label(task)} of "{task.campaign}"' for task in status.tasks)
            return f"Working on {works}{rest}."
    return idle_text(status, now)


def draining_text(running: int, drain_seconds: float | None) -> str:
    """Say what happens with running tasks. With None seconds they may end in their own time."""
    if not running:
        return "nothing runs here"
    if drain_seconds is None:
        return "running tasks are finished"
    if drain_seconds:
        return f"running tasks have {drain_seconds:g} s to end"
    return "running tasks go back to the server"


def idle_text(status: Status, now: float) -> str:
    """Say why there is nothing to do, and when the agent asks again."""
    reason = cut(status.idle_reason.rstrip("."), _REASON_CHARACTERS) or "nothing to do"
    again = ""
    if status.idle_until is not None and status.idle_until >= now + 1:
        again = f" Next look in {span(status.idle_until - now)}."
    return f"{sentence(reason)}.{again}"


def cut(text: str, most: int) -> str:
    """Return the beginning of a text that is too long for a headline, up to a whole word."""
    if len(text) <= most:
        return text
    return text[:most].rpartition(" ")[0].rstrip(" ,;:(") + " …"


def progress_text(task: RunningTask, now: float) -> str:
    """Return how far a running task is: its time of its budget, or its steps of all."""
    if task.trained_since is None:
        return str(task.phase)
    spent = max(0.0, now - task.trained_since)
    if task.max_steps:
        return f"step {task.step or 0:,} of {task.max_steps:,}, {span(spent)}"
    spent = min(spent, task.budget_seconds)
    if task.budget_seconds < _LONG_SECONDS:
        return f"{spent:.0f} of {task.budget_seconds:g} s"
    return f"{span(spent)} of {span(task.budget_seconds)}"


def share_done(task: RunningTask, now: float) -> float:
    """Return which share of its budget a running task has had, from 0 to 1."""
    if task.max_steps:
        return min(1.0, (task.step or 0) / task.max_steps)
    if task.trained_since is None:
        return 0.0
    return min(1.0, max(0.0, (now - task.trained_since) / task.budget_seconds))


def latest(task: RunningTask) -> str:
    """Return the newest figure of a running task: its metric, else its loss; "" without any."""
    if task.value is not None:
        return f"{task.metric.name} {task.metric.text(task.value)}"
    return "" if task.train_loss is None else f"train_loss {task.train_loss:.4f}"


def may_use(status: Status) -> str:
    """Return what the agent may use of this machine."""
    who = status.identity
    all_of = f" of {who.cpus}" if who.cpus else ""
    threads = f"{who.threads}{all_of} threads" if who.threads else f"all {who.cpus} processors"
    parts = [threads if who.cpus or who.threads else ""]
    if who.memory_bytes:
        parts.append(f"{size(who.memory_bytes)} of memory a task")
    if who.slots > 1:
        parts.append(f"{who.slots} tasks at a time")
    parts += who.rules
    parts.append(who.device_name or ", ".join(who.devices))
    return " · ".join(part for part in parts if part)


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def safe(text: str) -> str:
    """Return a text that a terminal may show."""
    return plain(text)
