"""Measure how well a cost model predicts the time of a step, on shapes that it has not seen.

    python -m benchmarks.step_cost [--shapes 26] [--rounds 4] [--seed 1]

Coefficients are fitted to the catalog's calibration shapes and predict the steps of other shapes,
drawn from the default search space. It prints the s.d. of log(predicted / measured) for all terms
of the script's DESCRIBE and for fewer. Exit code 1 when all terms miss their bar.

Other work on the machine slows every step down. So each measurement stands between two steps of one
reference shape: what counts is the ratio, and its median over the rounds.
"""

import argparse
import itertools
import os
import statistics
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from campaigns.work.describe import read_description
from campaigns.work.fit import fitted, log_error
from experiments import catalog, english_like_corpus
from experiments.calibration import CALIBRATION_SEED, CalibrationPlan
from experiments.config_generators import CharLMConfigGenerator

EXPERIMENT = catalog.get("train_char_lm")
SIZES = ("d_model", "n_layers", "n_heads", "d_ff", "batch_size", "context_length")
REFERENCE = {"d_model": 128, "n_layers": 2, "n_heads": 2, "d_ff": 256, "batch_size": 32}
REFERENCE |= {"context_length": 128}
# Short steps are repeated until they took this long, in seconds.
LEAST_SECONDS = 0.3
BAR = 0.2
FEWER_TERMS = {
    "GFLOP and attention elements": ("gflop", "attention_elements"),
    "GFLOP alone": ("gflop",),
}

Shape = Mapping[str, Any]


@dataclass
class Stopwatch:
    """Times steps of the script's own training loop, in this process."""

    rounds: dict[tuple[int, ...], list[float]] = field(default_factory=dict)
    references: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        with warnings.catch_warnings():  # torch warns that numpy is missing
            warnings.simplefilter("ignore")
            from experiments import train_char_lm
        self._script, self._text = train_char_lm, english_like_corpus.generate()
        self._runs: dict[tuple[int, ...], Any] = {}

    def step(self, shape: Shape) -> float:
        """Return the median seconds of a step of the shape."""
        run = self._run(shape)
        times: list[float] = []
        while not times or sum(times) < LEAST_SECONDS:
            began = time.monotonic()
            gradient, _ = run.gradient()
            run.optimiser.step(gradient, 1e-4)
            times.append(time.monotonic() - began)
        return statistics.median(times)

    def measure(self, shape: Shape) -> None:
        """Time the shape between two steps of the reference."""
        before, seconds, after = self.step(REFERENCE), self.step(shape), self.step(REFERENCE)
        self.references += [before, after]
        self.rounds.setdefault(key(shape), []).append(2 * seconds / (before + after))

    def seconds(self, shape: Shape) -> float:
        """Return the seconds of a step while nothing else runs: as in its fastest tenth."""
        quiet = statistics.quantiles(self.references, n=10)[0]
        return quiet * statistics.median(self.rounds[key(shape)])

    def slowdown(self) -> float:
        """Return how much slower the reference was in its median than in its fastest tenth."""
        return statistics.median(self.references) / statistics.quantiles(self.references, n=10)[0]

    @property
    def threads(self) -> int:
        """The threads of torch."""
        return int(self._script.torch.get_num_threads())

    @property
    def dtype(self) -> str:
        """The number type of the multiplications."""
        return str(self._run(REFERENCE).dtype).removeprefix("torch.")

    def _run(self, shape: Shape) -> Any:
        if key(shape) not in self._runs:
            config = {name: shape[name] for name in SIZES}
            config |= {"lr": 1e-4, "lr_schedule": "linear", "seed": CALIBRATION_SEED}
            config |= {"time_budget_seconds": 1e6, "max_steps": 10**6, "device": "cpu"}
            run = self._script.Run(config, self._text, time.monotonic())
            run.gradient()  # the first is slower
            self._runs[key(shape)] = run
        return self._runs[key(shape)]


def plan() -> CalibrationPlan:
    """Return the experiment's calibration."""
    assert EXPERIMENT.calibration is not None
    return EXPERIMENT.calibration


def key(shape: Shape) -> tuple[int, ...]:
    """Return what tells shapes apart."""
    return tuple(shape[name] for name in SIZES)


def unseen(count: int, seed: int) -> list[Shape]:
    """Return so many shapes of the default search space that are not used for calibration."""
    seen = {key(shape.params) for shape in plan().shapes}
    drawn: dict[tuple[int, ...], Shape] = {}
    for number in itertools.count(seed):
        params = CharLMConfigGenerator().generate(number)
        if key(params) not in seen:
            drawn.setdefault(key(params), params)
        if len(drawn) == count:
            break
    return list(drawn.values())


def amounts_of(shapes: Sequence[Shape]) -> list[dict[str, float]]:
    """Return what a step of each shape costs, and its GFLOP in all."""
    description = read_description(catalog.script_source(EXPERIMENT.name))
    assert description is not None
    amounts = [description.amounts(shape) for shape in shapes]
    return [each | {"gflop": each["matrix_gflop"] + each["attention_gflop"]} for each in amounts]


def error_of(
    terms: Sequence[str], known: Sequence[Shape], new: Sequence[Shape], watch: Stopwatch
) -> tuple[float, dict[str, float]]:
    """Return the error on the new shapes of coefficients fitted to the known ones, and these."""
    amounts = [
        [{term: each[term] for term in terms} for each in amounts_of(part)] for part in (known, new)
    ]
    times = [[watch.seconds(shape) for shape in part] for part in (known, new)]
    coefficients = fitted(amounts[0], times[0])
    return log_error(coefficients, amounts[1], times[1]), coefficients


def report(watch: Stopwatch, new: Sequence[Shape]) -> float:
    """Print the figures; return the error of all terms."""
    known = [shape.params for shape in plan().shapes]
    for shape, amounts in zip([*known, *new], amounts_of([*known, *new]), strict=True):
        seconds = watch.seconds(shape)
        per_gflop = 1000 * seconds / amounts["gflop"]
        print(f"{key(shape)!s:32s} {1000 * seconds:7.1f} ms {per_gflop:5.1f} ms per GFLOP")
    all_terms = tuple(plan().coefficients)
    error, coefficients = error_of(all_terms, known, new, watch)
    print("coefficients", {term: float(f"{value:.3g}") for term, value in coefficients.items()})
    print(f"s.d. of log(predicted / measured) over {len(new)} unseen shapes:")
    print(f"  {f'all {len(all_terms)} terms':30s} {error:.3f}")
    for title, terms in FEWER_TERMS.items():
        print(f"  {title:30s} {error_of(terms, known, new, watch)[0]:.3f}")
    return error


def main() -> int:
    """Return 0 when all terms together hold their bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", type=int, default=26, help="unseen shapes (26)")
    parser.add_argument("--rounds", type=int, default=4, help="measurements of each shape (4)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw of the shapes (1)")
    options = parser.parse_args()
    watch, new = Stopwatch(), unseen(options.shapes, options.seed)
    shapes = [*(shape.params for shape in plan().shapes), *new]
    order, loads = Random(options.seed), []
    watch.step(REFERENCE)
    for _ in range(options.rounds):
        for shape in order.sample(shapes, len(shapes)):
            watch.measure(shape)
            loads.append(os.getloadavg()[0])
    print(
        f"{watch.threads} threads, {watch.dtype}; load average {statistics.median(loads):.1f}; the "
        f"reference was {watch.slowdown():.2f} times as slow as in its fastest tenth"
    )
    return 0 if report(watch, new) <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
