"""Turn a W&B sweep configuration into a search space. Pure.

What a space can represent exactly is read. Anything else is refused by the parameter's name, with
its line and with what to write instead: a parameter that is read as another one would only show in
the results. The distributions are those of W&B's own documentation.
"""

from __future__ import annotations

import re
from typing import Any, Final

from campaigns.search.distributions import DISTRIBUTIONS, REFUSED, Fields, implied, quoted
from campaigns.search.lined import LinedDict, UnreadableSpace, line_of
from campaigns.search.samplers import MAX_TASKS, grid_points
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.space_json import MAX_PARAMETERS, NAME, RESERVED_NAMES, InvalidSearchSpace
from experiments import catalog

TAKEN_OVER: Final = frozenset({"name", "description", "method", "parameters", "run_cap", "metric"})


class Sweep:
    """Reads one sweep; `notes` and `suggested` hold what it says beside its parameters."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.suggested: dict[str, Any] = {}
        # How many seeds the sweep wants for each point.
        self._seeds = 1

    def read(self, body: LinedDict) -> list[dict[str, Any]]:
        """Return the parameters as JSON data of a space. Raises UnreadableSpace."""
        parameters: LinedDict = body["parameters"]
        if len(parameters) > MAX_PARAMETERS:
            raise UnreadableSpace(f"The sweep has more than {MAX_PARAMETERS} parameters.")
        self._read_method(body.get("method"))
        self._read_campaign_fields(body)
        read = [
            {"name": name, **self._parameter(name, parameter, parameters.lines[name])}
            for name, parameter in parameters.items()
            if not self._note_reserved(name, parameter)
        ]
        self._note_metric(body.get("metric"))
        self._suggest_repeats(read)
        return read

    def _read_method(self, method: object) -> None:
        if method == "random" or method == "grid":
            self.suggested["sampler"] = method
        elif method is not None:
            self.suggested["sampler"] = "random"
            self.notes.append(f"Method {quoted(method)} is not here: random takes its place.")

    def _read_campaign_fields(self, body: LinedDict) -> None:
        for key in ("name", "description"):
            value = body.get(key)
            if isinstance(value, str) and value.strip():
                self.suggested[key] = value.strip()
            elif value not in (None, ""):
                raise UnreadableSpace(
                    f"{key} must be a text; put it in quotes.", line_of(body, key)
                )
        run_cap = body.get("run_cap")
        if run_cap is None:
            return
        if type(run_cap) is not int or not 1 <= run_cap <= MAX_TASKS:
            raise UnreadableSpace(
                f"run_cap must be a whole number from 1 to {MAX_TASKS:,}.", line_of(body, "run_cap")
            )
        self.suggested["task_count"] = run_cap

    def _note_metric(self, metric: object) -> None:
        if metric is None:
            return
        name = metric.get("name") if isinstance(metric, dict) else metric
        goal = metric.get("goal", "minimize") if isinstance(metric, dict) else "minimize"
        specs = catalog.metric_specs()
        if (name, goal) not in {(spec.name, spec.direction.value) for spec in specs}:
            ranked = " or ".join(f"{spec.name}, {spec.better} is better" for spec in specs)
            self.notes.append(
                f"Metric {quoted(name)} ({quoted(goal)}) is not taken over: "
                f"results are ranked by {ranked}."
            )

    def _note_reserved(self, name: str, parameter: object) -> bool:
        """Return whether the name is reserved, with a note when it is."""
        if name not in RESERVED_NAMES:
            return False
        values = parameter.get("values") if isinstance(parameter, dict) else None
        if name == "seed" and isinstance(values, list) and len(values) > 1:
            self._seeds = len(values)
        else:
            self.notes.append(f"{name} is left out: the server sets it for each task.")
        return True

    def _suggest_repeats(self, parameters: list[dict[str, Any]]) -> None:
        """Ask for as many seeds of each point as the sweep lists, where a grid can repeat them."""
        if self._seeds == 1:
            return
        note = f"The {self._seeds} seeds become seeds of the campaign's own list. "
        points = _grid_size(parameters) if self.suggested.get("sampler") == "grid" else 0
        tasks = self._seeds * points
        if "task_count" in self.suggested or not 0 < tasks <= MAX_TASKS:
            note += "Each config runs on the first; run those again that are worth more."
        else:
            self.suggested["task_count"] = tasks
            note += f"The grid's {points:,} points run on each of them: {tasks:,} tasks."
        self.notes.append(note)

    def _parameter(self, name: str, body: object, line: int) -> dict[str, Any]:
        """Return one parameter without its name. Raises UnreadableSpace."""
        if not NAME.match(name):
            raise UnreadableSpace(
                f"{quoted(name)} cannot be the name of a parameter: use letters, digits and _, at "
                f"most 64. Write {_usable(name)}, and let the script read that name.",
                line,
            )
        if not isinstance(body, LinedDict):
            raise UnreadableSpace(
                f"{quoted(name)} must be a mapping, such as {{min: 0, max: 1}}.", line
            )
        if "parameters" in body:
            inner = body["parameters"]
            example = next(iter(inner), "lr") if isinstance(inner, dict) else "lr"
            raise UnreadableSpace(
                f"{quoted(name)} holds nested parameters; a space here is flat. Write each as a "
                f"parameter of its own, such as {_usable(f'{name}_{example}')}, and let the script "
                "read those names.",
                line,
            )
        distribution = body.get("distribution")
        if distribution is None:
            distribution = implied(body)
        if isinstance(distribution, str) and (instead := REFUSED.get(distribution)):
            raise UnreadableSpace(
                f"{quoted(name)} has the distribution {quoted(distribution)}, which a space here "
                f"cannot draw. {instead}",
                line,
            )
        known = DISTRIBUTIONS.get(distribution) if isinstance(distribution, str) else None
        if known is None:
            raise UnreadableSpace(
                f"{quoted(name)} has the distribution {quoted(distribution)}, which is not known "
                f"here. Known: {', '.join(DISTRIBUTIONS)}.",
                line,
            )
        read, fields = known
        for key in body:
            if key not in {"distribution", *fields}:
                raise UnreadableSpace(
                    f"{quoted(name)} has {quoted(key)}, which {distribution} does not use; it uses "
                    f"{', '.join(fields)}. Leave it out, or name the distribution that is meant.",
                    line_of(body, key),
                )
        return read(Fields(name, body, line, self.notes))


def _grid_size(parameters: list[dict[str, Any]]) -> int:
    """Return how many points the grid over these parameters has; 0 when there is no such grid."""
    try:
        return len(grid_points(SearchSpace.parse({"parameters": parameters})))
    except (InvalidSearchSpace, UnsatisfiableSpace):
        return 0


def _usable(name: str) -> str:
    """Return a name like this one that a parameter may have."""
    usable = re.sub(r"[^A-Za-z0-9_]", "_", name)[:64]
    return usable if NAME.match(usable) else f"_{usable}"[:64]
