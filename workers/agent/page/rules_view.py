"""The owner's rules as the page's sliders, hours and ticks have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from workers.agent.limits.options import machine_defaults
from workers.agent.limits.rules import LEAST_TASK_MIB, SPELLINGS, Rules, worded
from workers.agent.limits.words import OPTION_OF
from workers.agent.running.hardware import usable_memory_bytes
from workers.agent.status import words
from workers.protocol import MAX_LEASES_PER_CLAIM

_MIB: Final = 2**20
_MOST_SLOTS: Final = 8  # of the slider; `limits set` takes more


def view(
    rules: Rules | str, report: Mapping[str, Any], machine: Mapping[str, int]
) -> dict[str, Any]:
    """Return the rules and what they come to now.

    ``rules`` is a text where their file cannot be used; ``report`` is the limiter's.
    """
    facts = report["facts"]
    by_field = {spelling.name: word for word, spelling in SPELLINGS.items()}
    outranked = {
        by_field[name]: f"{OPTION_OF.get(name, name)} of the command line outranks this rule"
        for name in report["from_command_line"]
    }
    return {
        "problem": words.safe(rules) if isinstance(rules, str) else "",
        "values": worded(Rules() if isinstance(rules, str) else rules),
        "outranked": outranked,
        "machine": dict(machine),
        "now": {
            "slots": str(report["slots"]),
            "threads": str(report["threads"]),
            "memory": str(report["memory_mib"]),
            "priority": report["priority"],
            "why_threads": words.safe(report["why_threads"]),
        },
        "notes": [words.safe(words.sentence(note)) + "." for note in report["notes"]],
        "has_battery": facts["on_battery"] is not None,
    }


def machine_sizes() -> dict[str, int]:
    """Return what sliders can be set to on this machine. It asks the machine: call it once."""
    return {
        "cores": machine_defaults().cores,
        "memory_mib": usable_memory_bytes() // _MIB,
        "least_mib": LEAST_TASK_MIB,
        "slots": min(_MOST_SLOTS, MAX_LEASES_PER_CLAIM),
    }
