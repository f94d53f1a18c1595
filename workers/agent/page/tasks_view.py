"""What this machine gave, what ran on it, and what that may see. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from workers.agent.page.view import campaign_address
from workers.agent.status import words
from workers.agent.status.model import Delivery, EndedTask, Ending, Status
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import IsolationTier, Verdict

MAX_ROWS: Final = 200
_GOOD: Final = frozenset({Ending.COMPLETED})
_BAD: Final = frozenset({Ending.FAILED})


def given(status: Status, history: Sequence[EndedTask], now: float) -> list[list[str]]:
    """Return the rows on what this machine gave: their names and their texts."""
    rows = [["Since the start", words.totals_text(status.totals, status.to_send)]]
    if status.totals.seconds:
        rows.append(["Trained", words.span(status.totals.seconds)])
    real = [task for task in history if task.number]
    if len(real) > status.totals.ended:
        accepted = sum(_is_accepted(task) for task in real)
        trained = sum(task.seconds or 0.0 for task in real)
        since = words.clock(min(task.ended_at for task in real), now)
        parts = [words.count(len(real), "task"), f"{accepted:,} accepted", words.span(trained)]
        rows.append([f"Since {since}", f"{', '.join(parts)} of training"])
    last = real[-1] if real else None
    if last is not None:
        rows.append(["Last", f"{last.number}: {words.came_out(last)}"])
        if said := words.delivered(last):
            rows.append(["What came of it", words.sentence(said)])
    return [[name, words.safe(text)] for name, text in rows]


def rows(history: Sequence[EndedTask], server: str, now: float) -> list[dict[str, str]]:
    """Return the newest tasks, newest first."""
    found = [task for task in reversed(history) if task.number][:MAX_ROWS]
    return [
        {
            "when": words.clock(task.ended_at, now),
            "number": words.safe(task.number),
            "campaign": words.safe(task.campaign),
            "result": words.safe(words.came_out(task)),
            "why": words.safe(task.message) if task.ending in _BAD else "",
            "said": words.safe(words.sentence(words.delivered(task))),
            "tone": "soft" if task.ending in _GOOD else "amber" if task.ending in _BAD else "",
            "address": campaign_address(server, task.campaign_id),
        }
        for task in found
    ]


def sight(tier: str, policy: CodePolicy) -> list[list[str]]:
    """Return what a script can do on this machine: what it is about, and a sentence on it."""
    if not tier:
        return []
    return [["Code", _code(policy)], *(_T1 if tier == IsolationTier.T1 else _T0), *_BOTH]


def _is_accepted(task: EndedTask) -> bool:
    return task.delivery is Delivery.ANSWERED and task.verdict == Verdict.ACCEPTED


def _code(policy: CodePolicy) -> str:
    kinds = ["the training scripts of this installation and its releases"]
    if policy.server_code:
        kinds.append("other versions of them that the server sends")
    if policy.uploaded_scripts:
        kinds.append("researchers' scripts that an operator of the server approved")
    return f"It runs {'; '.join(kinds)}. Each is checked against its hash before it starts."


_T0: Final = [
    ["Sandbox", "None here: a script runs as your user, with your rights."],
    [
        "Files",
        "It could read and change what you can: your documents, this worker's token, its rules.",
    ],
    ["Network", "It could reach what you can reach, and open this page as you do."],
    ["Better", "On Linux, install bubblewrap, or give the worker an account of its own."],
]
_T1: Final = [
    ["Sandbox", "Each script runs in one, without your rights."],
    [
        "Files",
        "Of yours it sees none. It reads the system's libraries, this Python and its data set.",
    ],
    ["Network", "None. It cannot reach this page, either."],
    ["Left open", "It still talks to the kernel and to the GPU's driver: one wall, not two."],
]
_BOTH: Final = [
    [
        "To the server",
        "Results, their curves, the end of a failed script's output, and what machine this is.",
    ],
    ["Changes", "Isolation and allowed code are chosen on the command line, not on this page."],
]
