"""The owner's rules, and what they come to now, in words. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

from workers.agent.limits.rules import SPELLINGS, Rules, RulesError, worded

# Rules that the command line sets, with their options.
OPTION_OF: Final = {
    "slots": "--slots",
    "threads": "--threads",
    "memory_mib": "--memory-limit",
    "priority": "--priority",
}


def pairs(words: Iterable[str]) -> dict[str, str]:
    """Return rules as `changed` takes them from words like threads=2. Raises `RulesError`."""
    found = [word.partition("=") for word in words]
    if not found or not all(equals for _, equals, _ in found):
        raise RulesError(f"Write RULE=VALUE. The rules: {', '.join(SPELLINGS)}")
    return {word: value for word, _, value in found}


def short(rules: Rules) -> tuple[str, ...]:
    """Return when the agent may work, as far as a rule says so: "22:00-07:00", "not on battery"."""
    parts = [",".join(map(str, rules.hours))]
    if rules.present_threads == 0:
        parts.append("only when idle")
    elif rules.present_threads is not None:
        threads = "thread" if rules.present_threads == 1 else "threads"
        parts.append(f"{rules.present_threads} {threads} while you are there")
    parts += [] if rules.on_battery else ["not on battery"]
    parts += [] if rules.on_metered else ["not on a metered network"]
    if rules.max_load is not None:
        parts.append(f"not beside {rules.max_load:g} busy cores")
    if rules.max_temperature is not None:
        parts.append(f"up to {rules.max_temperature:g} °C")
    return tuple(part for part in parts if part)


def report_lines(rules: Rules, report: Mapping[str, Any], problem: str) -> list[str]:
    """Return the present limits for people. ``report`` may come from a file of an agent."""
    lines = []
    pause = report.get("pause")
    if isinstance(pause, dict):
        until = _local(pause.get("until"))
        lines.append(f"paused: {pause.get('reason')}{until} (the rule {pause.get('rule')})")
    else:
        lines.append("may work now")
    lines.append(
        f"{report.get('slots')} task(s) at a time, {report.get('threads')} thread(s) and "
        f"{report.get('memory_mib')} MiB each, priority {report.get('priority')}"
    )
    if report.get("why_threads"):
        lines.append(f"threads: {report['why_threads']}")
    lines += [f"note: {note}" for note in report.get("notes") or ()]
    for name in report.get("from_command_line") or ():
        option = OPTION_OF.get(name, name)
        lines.append(f"{option} of the agent's command line outranks the rule")
    if problem:
        return [*lines, f"rules: {problem}"]
    lines.append("rules:")
    return [*lines, *(f"  {word}={value}" for word, value in worded(rules).items())]


def _local(until: object) -> str:
    """Return an instant of a report as words, "" for none."""
    try:
        instant = dt.datetime.fromisoformat(str(until)).astimezone()
    except (ValueError, OverflowError, OSError):
        return ""
    return f", until {instant:%A %H:%M}"
