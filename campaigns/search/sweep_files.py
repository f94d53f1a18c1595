"""Read a search space that somebody wrote: XeeNet's JSON, or a Weights & Biases sweep. Pure.

A sweep (YAML or JSON) keeps its ``parameters`` in a mapping; XeeNet's space keeps them in a list.
The other fields of a sweep are either taken over (name, description, method, run_cap) or named in
the notes as left out: no field disappears silently.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.search.space import MAX_CHOICES, MAX_PARAMETERS, RESERVED_NAMES

MAX_TEXT_CHARACTERS: Final = 100_000
# YAML 1.1 reads 1e-4 as a text, because it requires a dot before the e.
_EXPONENT: Final = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
_TAKEN_OVER: Final = frozenset({"name", "description", "method", "parameters", "run_cap"})
_SPACE_KEYS: Final = frozenset({"parameters", "constraints"})
# Half of a surrogate pair, which no page and no database can hold.
_YAML_SURROGATE: Final = re.compile(r"\\(u|U0000)[dD][89a-fA-F]")


class UnreadableSpace(ValueError):
    """The text is not a search space in a known form; the message says what is wrong and where."""


@dataclass(frozen=True)
class ImportedSpace:
    """A search space as JSON data (not yet checked) and what else the text said.

    `suggested` holds fields of a campaign: name, description, sampler, task_count.
    """

    space: dict[str, Any]
    suggested: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_space(text: str) -> ImportedSpace:
    """Read a search space from JSON or YAML; `SearchSpace.parse` still has to check it.

    Raises UnreadableSpace.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise UnreadableSpace(
            f"The text is longer than {MAX_TEXT_CHARACTERS:,} characters; a search space is short."
        )
    # A text that begins with a bracket is JSON; read as YAML, the number 1e-4 would be a text.
    body = read_json(text) if text.lstrip().startswith(("{", "[")) else _read_yaml(text)
    parameters = body.get("parameters") if isinstance(body, dict) else None
    if isinstance(body, dict) and isinstance(parameters, list):
        return _own_space(body)
    if isinstance(body, dict) and isinstance(parameters, dict):
        return _Sweep().read(body)
    raise UnreadableSpace(
        'This is no search space: it must be an object with "parameters", a list (a XeeNet space) '
        "or a mapping (a W&B sweep)."
    )


def _own_space(body: dict[Any, Any]) -> ImportedSpace:
    """Read XeeNet's own form. Raises UnreadableSpace for data nested deeper than the form."""
    space = {"parameters": body["parameters"], "constraints": body.get("constraints") or []}
    for index, parameter in enumerate(space["parameters"]):
        if not isinstance(parameter, dict) or not all(map(_is_flat, parameter.values())):
            raise UnreadableSpace(
                f"parameters.{index} must be an object like "
                '{"name": "lr", "type": "float", "low": 0.001, "high": 0.1}.'
            )
    if not isinstance(space["constraints"], list) or not all(
        isinstance(constraint, str) for constraint in space["constraints"]
    ):
        raise UnreadableSpace("constraints must be a list of texts.")
    left_out = sorted(str(key) for key in body.keys() - _SPACE_KEYS)
    return ImportedSpace(space, notes=_left_out(left_out))


def _is_flat(value: object) -> bool:
    """Whether a field is one value, or the list of a choice's values."""
    items = value if isinstance(value, list) else [value]
    return value is None or all(isinstance(item, bool | int | float | str) for item in items)


def read_json(text: str) -> Any:
    """Return the data of a JSON text. Raises UnreadableSpace."""
    try:
        data = json.loads(text)
        json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise UnreadableSpace(
            f"Line {error.lineno}, column {error.colno}: this is not JSON ({error.msg})."
        ) from error
    except RecursionError as error:
        raise UnreadableSpace("This JSON is nested too deeply.") from error
    except ValueError as error:
        raise UnreadableSpace(
            "This JSON holds a number too long to read, or half of a surrogate pair."
        ) from error
    return data


def _read_yaml(text: str) -> Any:
    """Return the data of a YAML text. Raises UnreadableSpace."""
    import yaml

    if _YAML_SURROGATE.search(text):
        raise UnreadableSpace("This YAML holds half of a surrogate pair.")
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UnreadableSpace(f"{where}this is not YAML ({error.problem}).") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UnreadableSpace(
            "This YAML is nested too deeply, or holds what YAML does not allow."
        ) from error


def _left_out(keys: list[str]) -> list[str]:
    return [f"Left out, because XeeNet has no use for it: {', '.join(keys)}."] if keys else []


class _Sweep:
    """Turns a W&B sweep configuration into a space, and notes what differs."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.suggested: dict[str, Any] = {}

    def read(self, body: dict[Any, Any]) -> ImportedSpace:
        parameters = body["parameters"]
        if len(parameters) > MAX_PARAMETERS:
            raise UnreadableSpace(f"The sweep has more than {MAX_PARAMETERS} parameters.")
        self._read_method(body.get("method"))
        self._read_campaign_fields(body)
        space = [
            {"name": str(name), **self._parameter(str(name), parameter)}
            for name, parameter in parameters.items()
            if not self._note_reserved(str(name))
        ]
        self._note_metric(body.get("metric"))
        self.notes += _left_out(sorted(str(key) for key in body.keys() - _TAKEN_OVER - {"metric"}))
        return ImportedSpace({"parameters": space, "constraints": []}, self.suggested, self.notes)

    def _read_method(self, method: object) -> None:
        if method in {"random", "grid"}:
            self.suggested["sampler"] = method
        elif method is not None:
            self.suggested["sampler"] = "random"
            self.notes.append(f"Method {_quoted(method)} is not here: random takes its place.")

    def _read_campaign_fields(self, body: dict[Any, Any]) -> None:
        for key in ("name", "description"):
            if isinstance(body.get(key), str) and body[key].strip():
                self.suggested[key] = body[key].strip()
        if type(body.get("run_cap")) is int and body["run_cap"] > 0:
            self.suggested["task_count"] = body["run_cap"]

    def _note_metric(self, metric: object) -> None:
        if metric is None:
            return
        name = metric.get("name") if isinstance(metric, dict) else metric
        goal = metric.get("goal", "minimize") if isinstance(metric, dict) else "minimize"
        if (name, goal) != ("val_bpb", "minimize"):
            self.notes.append(
                f"Metric {_quoted(name)} ({_quoted(goal)}) is not taken over: "
                "results are ranked by val_bpb, lower is better."
            )

    def _note_reserved(self, name: str) -> bool:
        """Return whether the name is reserved, with a note when it is."""
        if name in RESERVED_NAMES:
            self.notes.append(f"{name} is left out: the server sets it for each task.")
        return name in RESERVED_NAMES

    def _parameter(self, name: str, body: object) -> dict[str, Any]:
        """Return one parameter without its name. Raises UnreadableSpace."""
        if not isinstance(body, dict):
            raise UnreadableSpace(f"{_quoted(name)} must be a mapping, such as {{min: 0, max: 1}}.")
        if isinstance(body.get("parameters"), dict):
            raise UnreadableSpace(
                f"{_quoted(name)} holds nested parameters; a space here is flat: write each as a "
                f"parameter of its own, such as {name[:40]}_lr."
            )
        distribution = body.get("distribution") or _implied(body)
        reader = _DISTRIBUTIONS.get(distribution) if isinstance(distribution, str) else None
        if reader is None:
            raise UnreadableSpace(
                f"{_quoted(name)} has the distribution {_quoted(distribution)}, which is not known "
                f"here. Known: {', '.join(_DISTRIBUTIONS)}."
            )
        if "probabilities" in body:
            self.notes.append(f"{name}: probabilities are left out; all values are equally likely.")
        return reader(_Fields(name, body, self.notes))


@dataclass(frozen=True)
class _Fields:
    """The fields of one parameter of a sweep, read with errors that name it."""

    name: str
    body: dict[Any, Any]
    notes: list[str]

    def refuse(self, sentence: str) -> UnreadableSpace:
        return UnreadableSpace(f"{_quoted(self.name)} {sentence}")

    def number(self, key: str, default: float | None = None) -> float:
        value = self.body.get(key, default)
        if isinstance(value, str) and _EXPONENT.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refuse(f"needs {key} as a number.")
        try:
            finite = math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise self.refuse(f"needs {key} as a number that is not endless.")
        return value

    def whole(self, key: str) -> int:
        value = self.number(key)
        if value != int(value):
            raise self.refuse(f"needs {key} as a whole number.")
        return int(value)

    def constant(self) -> dict[str, Any]:
        return {"type": "choice", "values": [self._scalar(self.body.get("value"))]}

    def categorical(self) -> dict[str, Any]:
        values = self.body.get("values")
        if not isinstance(values, list):
            raise self.refuse("needs values as a list.")
        return {
            "type": "choice",
            "values": [self._scalar(value) for value in values[: MAX_CHOICES + 1]],
        }

    def _scalar(self, value: object) -> object:
        if isinstance(value, str) and _EXPONENT.fullmatch(value):
            self.notes.append(f"{self.name}: {value} is a text to YAML; read as the number.")
            return float(value)
        if not isinstance(value, bool | int | float | str):
            raise self.refuse(
                "has a value that is no number, text, true or false; nested and empty values "
                "cannot be drawn."
            )
        return value

    def int_uniform(self) -> dict[str, Any]:
        return {"type": "int", "low": self.whole("min"), "high": self.whole("max")}

    def uniform(self) -> dict[str, Any]:
        return {
            "type": "float",
            "low": float(self.number("min")),
            "high": float(self.number("max")),
        }

    def log_uniform_values(self) -> dict[str, Any]:
        return self.uniform() | {"log": True}

    def log_uniform(self) -> dict[str, Any]:
        """Read min and max as natural logarithms, as W&B defines them."""
        try:
            low, high = math.exp(self.number("min")), math.exp(self.number("max"))
        except OverflowError as error:
            raise self.refuse("has limits beyond all numbers: they are exponents of e.") from error
        self.notes.append(
            f"{self.name}: log_uniform takes exponents of e, so it runs from {low:.4g} to "
            f"{high:.4g}. If you meant these limits themselves, use log_uniform_values."
        )
        return {"type": "float", "low": low, "high": high, "log": True}

    def q_uniform(self) -> dict[str, Any]:
        """Return steps of q as an int range, a float range with decimals, or a choice."""
        low, high, q = self.number("min"), self.number("max"), self.number("q", 1)
        if q <= 0 or low > high:
            raise self.refuse("needs min, max and q with min ≤ max and q above 0.")
        # round(x / q) * q, for x in [min, max]: what W&B draws.
        first, last = round(low / q), round(high / q)
        if q == int(q):
            return {"type": "int", "low": first * int(q), "high": last * int(q), "step": int(q)}
        decimals = next((n for n in range(1, 16) if math.isclose(q, 10.0**-n, rel_tol=1e-9)), None)
        if decimals is not None:
            ends = {"low": round(first * q, decimals), "high": round(last * q, decimals)}
            return {"type": "float", **ends, "decimals": decimals}
        if last - first >= MAX_CHOICES:
            raise self.refuse(
                f"has more than {MAX_CHOICES} steps of q = {q:g}; choose q as 1 or a power of ten."
            )
        values = [float(f"{step * q:.12g}") for step in range(first, last + 1)]
        self.notes.append(f"{self.name}: the {len(values)} steps of q = {q:g} became a choice.")
        return {"type": "choice", "values": values}

    def q_log_uniform_values(self) -> dict[str, Any]:
        if self.number("q", 1) != 1:
            raise self.refuse("has steps on a log scale; only q = 1 is known here.")
        return self.int_uniform() | {"log": True}


_DISTRIBUTIONS: Final[dict[str, Callable[[_Fields], dict[str, Any]]]] = {
    "constant": _Fields.constant,
    "categorical": _Fields.categorical,
    "categorical_w_probabilities": _Fields.categorical,
    "int_uniform": _Fields.int_uniform,
    "uniform": _Fields.uniform,
    "q_uniform": _Fields.q_uniform,
    "log_uniform": _Fields.log_uniform,
    "log_uniform_values": _Fields.log_uniform_values,
    "q_log_uniform_values": _Fields.q_log_uniform_values,
}


def _implied(body: dict[Any, Any]) -> str:
    """Return the distribution that W&B assumes when a parameter names none."""
    if "value" in body:
        return "constant"
    if "values" in body:
        return "categorical"
    limits = (body.get("min"), body.get("max"))
    return "int_uniform" if all(type(limit) is int for limit in limits) else "uniform"


def _quoted(value: object) -> str:
    """Quote a value of the text for a message: cut short, and of nested data only the type."""
    return repr(value[:60] if isinstance(value, str) else type(value).__name__)
