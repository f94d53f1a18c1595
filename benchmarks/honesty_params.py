"""Analysis of campaigns in which nothing matters, and compared arms that are equal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from benchmarks.honesty_worlds import BAD_RATE, FLOOR_PAIRS, SIGMA, Draws
from campaigns.analysis.axes import axes_of
from campaigns.analysis.chance import judge
from campaigns.analysis.importance import importance
from campaigns.analysis.runs import Run
from campaigns.race.compared import compare
from campaigns.race.look import Outcome
from campaigns.race.noise import floor_of
from campaigns.race.param_words import NOTHING_STANDS_OUT, effects_title, importance_title
from campaigns.race.rows import NO_FLOOR

# As many parameters, and as many values of them, as a campaign of the char-LM has.
SPACE: Final[dict[str, Any]] = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        {"name": "d_model", "type": "choice", "values": [64, 128, 256]},
        {"name": "n_layers", "type": "choice", "values": [2, 4, 6]},
        {"name": "batch_size", "type": "choice", "values": [16, 32, 64]},
        {"name": "dropout", "type": "float", "low": 0.0, "high": 0.3},
        {"name": "schedule", "type": "choice", "values": ["cosine", "constant", "linear"]},
    ],
    "constraints": [],
}
METRIC: Final = "val_bpb"
TOP: Final = "best tenth"
# Of a campaign that raced, three arms have this many further runs.
RACE_ARMS, RACE_RUNS = 3, 6


@dataclass(frozen=True)
class Noise:
    """A campaign of so many arms whose values do not depend on their params."""

    arms: int
    bad_rate: float = 0.0

    @property
    def key(self) -> str:
        """What tells it from other subjects, the same in every process."""
        return f"params without effect, {self.arms} arms, {self.bad_rate} bad"

    def runs(self, random: Random) -> list[Run]:
        """Return its runs: one of each arm, and those of a race of the three best."""
        draws = Draws(random, [3.0] * self.arms, sigma=SIGMA, bad_rate=self.bad_rate)
        params = [_params(random) for _ in range(self.arms)]
        values = [(arm, 0, draws.run(arm, 0).sort_key or 0.0) for arm in range(self.arms)]
        best = sorted(values, key=lambda row: row[2])[:RACE_ARMS]
        values += [
            (arm, seed, draws.run(arm, seed).sort_key or 0.0)
            for arm, *_ in best
            for seed in range(1, RACE_RUNS + 1)
        ]
        return [
            Run(number, seed, params[arm], arm, value, value, 100, 1000, 5000, "cpu")
            for number, (arm, seed, value) in enumerate(values)
        ]


@dataclass(frozen=True)
class Titles:
    """Whether the titles of one campaign name a parameter, and whether they contradict each other.

    Nothing matters there, so each name is there by chance.
    """

    effects: bool
    importance: bool
    contradict: bool


@dataclass(frozen=True)
class Equal:
    """So many equal arms that are compared on so many shared seeds."""

    arms: int
    seeds: int
    floor_pairs: int = 0
    bad_rate: float = 0.0

    @property
    def key(self) -> str:
        """What tells it from other subjects, the same in every process."""
        numbers = f"{self.arms} arms, {self.seeds} seeds, {self.floor_pairs} pairs"
        return f"compared, {numbers}, {self.bad_rate} bad"


NOISES: Final = (Noise(24), Noise(50), Noise(24, BAD_RATE), Noise(50, BAD_RATE))
EQUALS: Final = tuple(
    Equal(arms, seeds, pairs, BAD_RATE if bad else 0.0)
    for arms in (2, 5)
    for seeds in (3, 4, 6, 10)
    for pairs, bad in ((0, False), (FLOOR_PAIRS, False), (FLOOR_PAIRS, True))
)


def _params(random: Random) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for parameter in SPACE["parameters"]:
        if parameter["type"] == "choice":
            params[parameter["name"]] = random.choice(parameter["values"])
        elif parameter.get("log"):
            ends = math.log(parameter["low"]), math.log(parameter["high"])
            params[parameter["name"]] = math.exp(random.uniform(*ends))
        else:
            params[parameter["name"]] = random.uniform(parameter["low"], parameter["high"])
    return params


def titles(noise: Noise, random: Random) -> Titles:
    """Return what the panels of one campaign without any effect claim."""
    axes, runs = axes_of(SPACE), noise.runs(random)
    judgement = judge(axes, runs)
    effects = effects_title(judgement.named, judgement.by_chance, metric=METRIC)
    # The estimate takes half a second, and without a name the title does not depend on it.
    shares = importance(axes, runs).parameters if judgement.named else []
    claim = importance_title(shares, judgement.names, good=METRIC, top=TOP)
    names = {parameter["name"] for parameter in SPACE["parameters"]}
    in_effects = {name for name in names if name in effects}
    in_importance = {name for name in names if name in claim}
    return Titles(
        effects=bool(in_effects),
        importance=claim != NOTHING_STANDS_OUT,
        contradict=not in_importance <= in_effects,
    )


def names_a_difference(equal: Equal, random: Random) -> bool:
    """Return whether one comparison of equal arms says that one of them is ahead."""
    draws = Draws(random, [3.0] * (equal.arms + FLOOR_PAIRS), bad_rate=equal.bad_rate)
    others = range(equal.arms, equal.arms + equal.floor_pairs)
    pairs = [draws.run(arm, seed) for arm in others for seed in (101, 102)]
    floor = floor_of([pairs]) if pairs else NO_FLOOR
    arms = range(equal.arms)
    runs = [draws.run(arm, seed) for arm in arms for seed in range(1, equal.seeds + 1)]
    decision = compare(arms, runs, floor).decision
    return decision is not None and decision.outcome is Outcome.CHAMPION
