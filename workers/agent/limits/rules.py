"""The owner's rules: what they are, how they are written, and which are refused. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from workers.agent.grants import Priority
from workers.agent.limits.hours import NoHours, Window
from workers.protocol import MAX_LEASES_PER_CLAIM

VERSION: Final = 1
LEAST_TASK_MIB: Final = 64
_MOST_THREADS: Final = 4096
_MOST_IDLE_MINUTES: Final = 24 * 60
_LEAST_LOAD: Final = 0.1
_MOST_LOAD: Final = 4096.0
_TEMPERATURES: Final = (40.0, 120.0)
_MOST_MIB: Final = 2**40
_MOST_WINDOWS: Final = 24
_LAST_INSTANT: Final = 4102444800.0  # the year 2100
_OFF: Final = "off"


class RulesError(ValueError):
    """The rules cannot be read, or could never let the agent run; the message says why."""


@dataclass(frozen=True)
class Rules:
    """What the owner allows. None: no rule.

    `present_threads` are the threads of a task while the person uses the machine, 0 for none: then
    the agent works only when the machine is idle, which it is `idle_minutes` after the last key.
    `max_load` are the cores that other programs may use before the agent makes room.
    """

    slots: int | None = None
    threads: int | None = None  # of a task, at most
    memory_mib: int | None = None  # of a task
    present_threads: int | None = None
    idle_minutes: float = 5.0
    hours: tuple[Window, ...] = ()  # empty: always
    on_battery: bool = True
    on_metered: bool = True
    max_load: float | None = None
    free_memory_mib: int | None = None  # less of it free: pause
    max_temperature: float | None = None  # of the processor, in degrees Celsius
    priority: Priority | None = None
    paused_until: float | None = None  # seconds since 1970, UTC

    def __post_init__(self) -> None:
        """Refuse what no machine could keep. Raises `RulesError`."""
        _check_range("slots", self.slots, 1, MAX_LEASES_PER_CLAIM)
        _check_range("threads", self.threads, 1, _MOST_THREADS)
        _check_range("memory", self.memory_mib, LEAST_TASK_MIB, _MOST_MIB)
        _check_range("present", self.present_threads, 0, _MOST_THREADS)
        _check_range("idle", self.idle_minutes, 0, _MOST_IDLE_MINUTES)
        _check_range("load", self.max_load, _LEAST_LOAD, _MOST_LOAD)
        _check_range("free-memory", self.free_memory_mib, 1, _MOST_MIB)
        _check_range("temperature", self.max_temperature, *_TEMPERATURES)
        _check_range("pause", self.paused_until, 0, _LAST_INSTANT)
        if len(self.hours) > _MOST_WINDOWS:
            raise RulesError(f"hours: more than {_MOST_WINDOWS} windows")


def check_machine(rules: Rules, memory_bytes: int) -> None:
    """Refuse rules under which this machine could never work. Raises `RulesError`."""
    mib = memory_bytes // 2**20
    if rules.free_memory_mib is not None and rules.free_memory_mib >= mib:
        raise RulesError(
            f"free-memory={rules.free_memory_mib}: this machine has {mib:,} MiB in all, "
            "so the agent could never work"
        )


def from_json(content: bytes) -> Rules:
    """Return the rules in a file. Raises `RulesError`."""
    try:
        value = json.loads(content, object_pairs_hook=_without_repeats, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise RulesError(f"it is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise RulesError("it is no JSON object")
    version = value.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise RulesError(f"its version is {str(version)[:20]!r}, this agent knows {VERSION}")
    known = {rule.name for rule in fields(Rules)}
    if unknown := sorted(set(value) - known):
        raise RulesError(f"it has rules that this agent does not know: {', '.join(unknown)[:200]}")
    return Rules(**{name: _of_json(name, entry) for name, entry in value.items()})


def to_json(rules: Rules) -> str:
    """Return the rules as the text of a file."""
    return json.dumps({"version": VERSION, **as_values(rules)}, indent=2) + "\n"


def as_values(rules: Rules) -> dict[str, Any]:
    """Return the rules as plain values of JSON, by their names in the file."""
    return {**asdict(rules), "hours": [str(window) for window in rules.hours]}


def changed(rules: Rules, words: Mapping[str, str], *, now_seconds: float) -> Rules:
    """Return the rules with some set anew, each by its word: {"threads": "2"}.

    ``now_seconds`` (since 1970) is when a pause begins. Raises `RulesError`.
    """
    values: dict[str, Any] = {}
    for word, text in words.items():
        spelling = SPELLINGS.get(word)
        if spelling is None:
            raise RulesError(f"there is no rule {word!r}. The rules: {', '.join(SPELLINGS)}")
        try:
            if word == "pause":
                values[spelling.name] = _end_of_pause(text.strip().lower(), now_seconds)
            else:
                values[spelling.name] = spelling.read(text.strip().lower())
        except ValueError as error:
            raise RulesError(f"{word}={text}: {error}") from None
    return replace(rules, **values)


def worded(rules: Rules) -> dict[str, str]:
    """Return the rules by their words, as `changed` reads them; a pause is left out."""
    values = {field_.name: getattr(rules, field_.name) for field_ in fields(rules)}
    return {
        word: spelling.write(values[spelling.name])
        for word, spelling in SPELLINGS.items()
        if word != "pause"
    }


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ValueError("a whole number is needed")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("a number is needed")
    return value


def _or_off(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text == _OFF else read(text)


def _windows(text: str) -> tuple[Window, ...]:
    return () if text == "always" else tuple(Window.parse(part) for part in text.split(","))


def _present(text: str) -> int | None:
    return 0 if text == "pause" else _or_off(_whole)(text)


def _work(text: str) -> bool:
    if text not in ("work", "pause"):
        raise ValueError("write work or pause")
    return text == "work"


def _priority(text: str) -> Priority:
    if text not in list(Priority):
        raise ValueError(f"write {', '.join(Priority)} or off")
    return Priority(text)


def _end_of_pause(text: str, now_seconds: float) -> float | None:
    """Return when a pause like "90m", "2h" or "1d" from now ends; None for "off"."""
    if text == _OFF:
        return None
    unit = {"m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    seconds = _number(text[:-1]) * unit if unit else 0.0
    if seconds <= 0:
        raise ValueError("write how long, like 90m, 2h or 1d, or off")
    return now_seconds + seconds


def _written(value: object) -> str:
    if value is None:
        return _OFF
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Spelling:
    """How a rule is written on the command line."""

    name: str  # in `Rules`
    read: Callable[[str], Any]
    help: str
    write: Callable[[Any], str] = field(default=_written)


def _written_work(value: object) -> str:
    return "work" if value else "pause"


SPELLINGS: Final[dict[str, Spelling]] = {
    "slots": Spelling("slots", _or_off(_whole), "tasks at a time"),
    "threads": Spelling("threads", _or_off(_whole), "threads of a task, at most"),
    "memory": Spelling("memory_mib", _or_off(_whole), "MiB of a task"),
    "present": Spelling(
        "present_threads",
        _present,
        "threads of a task while you use the machine, or pause",
        lambda value: "pause" if value == 0 else _written(value),
    ),
    "idle": Spelling("idle_minutes", _number, "minutes after your last key until you are away"),
    "hours": Spelling(
        "hours",
        _windows,
        "when it may work, like 22:00-07:00,12:00-13:00, or always",
        lambda value: ",".join(map(str, value)) or "always",
    ),
    "battery": Spelling("on_battery", _work, "on battery: work or pause", _written_work),
    "metered": Spelling("on_metered", _work, "on a metered network: work or pause", _written_work),
    "load": Spelling("max_load", _or_off(_number), "cores that others use before it pauses"),
    "free-memory": Spelling("free_memory_mib", _or_off(_whole), "MiB that have to stay free"),
    "temperature": Spelling("max_temperature", _or_off(_number), "degrees Celsius, at most"),
    "priority": Spelling("priority", _or_off(_priority), "of scripts: normal, low or idle"),
    "pause": Spelling("paused_until", lambda text: text, "a pause like 90m, 2h, 1d; off ends it"),
}


def _check_range(word: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise RulesError(f"{word}={value:g} could never work: from {least:g} to {most:g}, or off")


_WHOLE: Final = frozenset({"slots", "threads", "memory_mib", "present_threads", "free_memory_mib"})
_NEEDED: Final = frozenset({"idle_minutes", "hours", "on_battery", "on_metered"})


def _of_json(name: str, value: Any) -> Any:
    """Return the value of a rule in a file as `Rules` has it. Raises `RulesError`."""
    if value is None and name not in _NEEDED:
        return None
    if name == "hours":
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise RulesError("hours must be a list of texts like 22:00-07:00")
        try:
            return tuple(Window.parse(text) for text in value)
        except NoHours as error:
            raise RulesError(f"hours: {error}") from error
    if name in ("on_battery", "on_metered"):
        if not isinstance(value, bool):
            raise RulesError(f"{name} must be true or false")
        return value
    if name == "priority":
        if value not in list(Priority):
            raise RulesError(f"priority must be one of {', '.join(Priority)}")
        return Priority(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if name in _WHOLE and not is_whole:
        raise RulesError(f"{name} must be a whole number")
    if not is_whole and not (isinstance(value, float) and math.isfinite(value)):
        raise RulesError(f"{name} must be a number")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("it names a rule twice")
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")
