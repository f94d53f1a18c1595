"""Read a search space that somebody wrote: XeeNet's JSON, or a Weights & Biases sweep. Pure.

A sweep (YAML or JSON) keeps its ``parameters`` in a mapping; XeeNet's space keeps them in a list.
The other fields of a sweep are either taken over (name, description, method, run_cap) or named in
the notes as left out: no field disappears silently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns.search.json_text import read_json
from campaigns.search.lined import (
    MAX_TEXT_CHARACTERS,
    LinedDict,
    LinedList,
    UnreadableSpace,
    line_of,
    plain,
)
from campaigns.search.sweeps import TAKEN_OVER, Sweep
from campaigns.search.yaml_text import read_yaml

__all__ = ["MAX_TEXT_CHARACTERS", "ImportedSpace", "UnreadableSpace", "read_json", "read_space"]

_SPACE_KEYS: Final = frozenset({"parameters", "constraints"})


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
    # A text that begins with a bracket is JSON; tabs and surrogate pairs are no trouble there.
    body = read_json(text) if text.lstrip().startswith(("{", "[")) else read_yaml(text)
    parameters = body.get("parameters") if isinstance(body, LinedDict) else None
    if isinstance(body, LinedDict) and isinstance(parameters, LinedList):
        return _own_space(body, parameters)
    if isinstance(body, LinedDict) and isinstance(parameters, LinedDict):
        sweep = Sweep()
        space = {"parameters": sweep.read(body), "constraints": []}
        return ImportedSpace(
            space, sweep.suggested, sweep.notes + _left_out(body.keys() - TAKEN_OVER)
        )
    raise UnreadableSpace(
        'This is no search space: it must be an object with "parameters", a list (a XeeNet space) '
        "or a mapping (a W&B sweep)."
    )


def _own_space(body: LinedDict, parameters: LinedList) -> ImportedSpace:
    """Read XeeNet's own form. Raises UnreadableSpace for data nested deeper than the form."""
    for index, parameter in enumerate(parameters):
        line = line_of(parameters, index)
        if not isinstance(parameter, dict):
            raise _no_parameter(index, line)
        for key, value in parameter.items():
            if not _is_flat(value):
                raise _no_parameter(index, line_of(parameter, key))
    constraints = body.get("constraints")
    if constraints is None:
        constraints = []
    if not isinstance(constraints, list) or not all(
        isinstance(constraint, str) for constraint in constraints
    ):
        raise UnreadableSpace("constraints must be a list of texts.", line_of(body, "constraints"))
    space = {"parameters": plain(parameters), "constraints": plain(constraints)}
    return ImportedSpace(space, notes=_left_out(body.keys() - _SPACE_KEYS))


def _no_parameter(index: int, line: int | None) -> UnreadableSpace:
    return UnreadableSpace(
        f"parameters.{index} must be an object like "
        '{"name": "lr", "type": "float", "low": 0.001, "high": 0.1}, without empty or endless '
        "values.",
        line,
    )


def _is_flat(value: object) -> bool:
    """Whether a field is one finite value, or the list of a choice's values."""
    items = value if isinstance(value, list) else [value]
    return value is None or all(
        isinstance(item, bool | int | str) or (isinstance(item, float) and math.isfinite(item))
        for item in items
    )


def _left_out(keys: set[str]) -> list[str]:
    names = ", ".join(sorted(key[:60] for key in keys))
    return [f"Left out, because XeeNet has no use for it: {names}."] if keys else []
