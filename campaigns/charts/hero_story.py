"""What the hero chart says in words: what each new best changed, and what happened meanwhile.

Pure: params, changes of state and sessions in, short texts and spans of seconds out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xeenet_site.web.formats import value

# So many changes of a new best are written; the chart shows as many as fit.
MOST_CHANGES: Final = 3
# An agent that is back so soon was restarted; nobody needs to know.
RESTART_SECONDS: Final = 90.0
# A span without any worker is worth a word from here on.
IDLE_SECONDS: Final = 60.0

Span = tuple[float, float]


@dataclass(frozen=True)
class Event:
    """Something that happened to a campaign, in seconds since its launch.

    `seconds` is how long it lasted; None for an instant, or for what has not ended.
    """

    at: float
    words: str
    seconds: float | None = None


@dataclass(frozen=True)
class Session:
    """A worker's agent was there from `since` to `until`; None: it still is."""

    worker: str
    since: float
    until: float | None


def changed(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return the params that differ, written as "d_model 256", those most telling first.

    Levels come before numbers from a range, which a sampler never draws twice. None of equal
    params: the same arm on another seed.
    """
    different = [name for name in names if before.get(name) != after.get(name)]
    different.sort(key=lambda name: isinstance(after.get(name), float))
    return [f"{name} {brief(after.get(name))}" for name in different[:MOST_CHANGES]]


def brief(param: Any) -> str:
    """Write a param for a label: fractions with three digits, everything else as in a config."""
    return f"{param:.3g}" if isinstance(param, float) else value(param)


def pauses(changes: Iterable[tuple[float, str]]) -> list[Event]:
    """Return the pauses of a campaign from its changes of state, (seconds, new state), in order."""
    found: list[Event] = []
    began: float | None = None
    for at, state in changes:
        if state == "paused" and began is None:
            began = at
        elif state != "paused" and began is not None:
            found.append(Event(began, "paused", at - began))
            began = None
    return found if began is None else [*found, Event(began, "paused")]


def comings_and_goings(sessions: Iterable[Session]) -> list[Event]:
    """Return when workers came after the launch, and when they went; restarts are left out."""
    by_worker: dict[str, list[Session]] = {}
    for session in sorted(sessions, key=lambda session: session.since):
        by_worker.setdefault(session.worker, []).append(session)
    events: list[Event] = []
    for worker, own in by_worker.items():
        if own[0].since > RESTART_SECONDS:
            events.append(Event(own[0].since, f"{worker} joined"))
        for session, following in zip(own, [*own[1:], None], strict=True):
            if session.until is None or session.until <= 0:
                continue
            away = None if following is None else following.since - session.until
            if away is None or away > RESTART_SECONDS:
                events.append(Event(session.until, f"{worker} gone", away))
    return sorted(events, key=lambda event: event.at)


def without_worker(sessions: Iterable[Session]) -> list[Span]:
    """Return the spans between the first and the last session in which no worker was there."""
    spans: list[Span] = []
    until: float | None = None
    for session in sorted(sessions, key=lambda session: session.since):
        if until is not None and session.since - until > IDLE_SECONDS:
            spans.append((until, session.since))
        end = float("inf") if session.until is None else session.until
        until = end if until is None else max(until, end)
    return spans
