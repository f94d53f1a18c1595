"""The contract of a training script, checked rule by rule by running the script.

The script is copied alone into an empty folder and run there a few times, as an agent would run it,
on the generated corpus. Each rule is one function of the outcomes of those runs.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from campaigns.scripts.source import source_problems
from campaigns.scripts.workbench import KILL_GRACE_SECONDS, SEED, Run, Workbench
from campaigns.search.samplers import sample
from campaigns.search.space import SearchSpace
from campaigns.work.describe import InfeasibleCost, InvalidDescription, read_description
from experiments import catalog
from workers.protocol import is_number
from workers.result_line import metrics_problems, with_whole_numbers

# The experiment whose contract this is.
EXPERIMENT: Final = catalog.all()[0]
METRIC: Final = EXPERIMENT.metric_spec
REPLAY_STEPS: Final = 3
# For so many configs of the default space the script says what a step costs.
DRAWN_CONFIGS: Final = 3
EXIT_CONFIG_ERROR: Final = 2
# Besides the value: what training and evaluation did.
WARM_KEYS: Final = ("train_loss", "eval_nll_nats", "eval_bytes", "steps_completed")
# Small enough for a step in a few seconds on a slow machine.
DEFAULT_CONFIG: Final[dict[str, Any]] = {
    "lr": 0.003,
    "lr_schedule": "cosine",
    "n_layers": 2,
    "n_heads": 2,
    "d_model": 64,
    "d_ff": 256,
    "batch_size": 32,
    "context_length": 128,
}


@dataclass(frozen=True)
class Verdict:
    """One rule of the contract and whether the script keeps it."""

    rule: str
    kept: bool
    detail: str
    starts_warm: bool | None = None  # of the rule that decides it


def check_script(
    script: bytes, *, budget: float, params: dict[str, Any] | None = None
) -> Iterator[Verdict]:
    """Yield a verdict per rule, each as soon as the runs it needs are over.

    `budget` is in seconds; `params` replaces the small char-LM config of the runs.
    """
    yield judge_source(script)
    with tempfile.TemporaryDirectory(prefix="xeenet-check-") as folder:
        bare = Workbench(script, Path(folder, "bare"), {}, bare=True)
        configs = [params] if params else [DEFAULT_CONFIG, *drawn_configs()]
        yield judge_description(script, configs, lambda c: bare.run(budget, "--describe", **c))
        bench = Workbench(script, Path(folder, "whole"), dict(params or DEFAULT_CONFIG))
        yield judge_unknown_key(bench.run(budget, no_script_knows_this_key=1))
        measured = bench.run(budget)
        yield judge_budget(measured, budget)
        yield judge_stdout(measured)
        yield judge_keys(measured)
        yield judge_identity(measured, bench.dataset_sha256)
        yield judge_denominator(measured, bench.dataset_bytes)
        # More time than needed, so that a slow moment does not cut the fixed number of steps short.
        replays = [bench.run(6 * budget, max_steps=REPLAY_STEPS) for _ in range(2)]
        yield judge_replay(replays[0], replays[1], 6 * budget)
        warm = None
        if sys.platform == "linux":
            warm = bench.run(6 * budget, warm=True, max_steps=REPLAY_STEPS)
        yield judge_warm_start(replays[0], warm)
        yield judge_sigterm(bench.run(10 * budget, terminate_after=budget / 2))


def judge_source(script: bytes) -> Verdict:
    """The file is plain readable Python that imports only the standard library and torch."""
    problems = source_problems(script)
    detail = " ".join(problems) or "plain Python text"
    return Verdict("self-contained: standard library and torch only", not problems, detail)


def drawn_configs() -> list[dict[str, Any]]:
    """Return a few configs of the experiment's default space."""
    space = SearchSpace.parse(EXPERIMENT.default_search_space)
    return [sample(space, "random", SEED, draw) for draw in range(DRAWN_CONFIGS)]


def judge_description(
    script: bytes, configs: Sequence[dict[str, Any]], describe: Callable[[dict[str, Any]], Run]
) -> Verdict:
    """What the script prints of the cost of a step is what the server reads in its source.

    `describe` runs it with `--describe` on a config.
    """
    rule = "says what a step costs (--describe, without torch and data) as its source does"
    try:
        description = read_description(script)
        if description is None:
            detail = "no DESCRIBE: it takes steps, tokens or a time budget, not seconds of work"
            return Verdict(rule, kept=True, detail=detail)
        for config in configs:
            amounts = description.amounts(config)
            if problem := _description_problem(amounts, describe(config)):
                return Verdict(rule, kept=False, detail=f"{problem}; the config was {config}")
    except (InvalidDescription, InfeasibleCost) as error:
        return Verdict(rule, kept=False, detail=str(error))
    return Verdict(rule, kept=True, detail=", ".join(description.terms))


def _description_problem(amounts: dict[str, float], run: Run) -> str:
    """Return how a printed description differs from the amounts that the server read."""
    printed = run.result
    if run.exit_code or printed is None:
        return f"exit code {run.exit_code}, not one JSON object on stdout; {run.last_words}"
    if printed.keys() != amounts.keys():
        names = [", ".join(sorted(terms)) or "nothing" for terms in (printed, amounts)]
        return f"it prints {names[0]}, its source has {names[1]}"
    for name, amount in amounts.items():
        value = printed[name]
        if not is_number(value) or not math.isclose(value, amount, rel_tol=1e-9):
            return f"it prints {json.dumps(value)[:50]} as {name}, its source says {amount:g}"
    return ""


def judge_unknown_key(run: Run) -> Verdict:
    """An unknown key is a config error: exit code 2 and a line on stderr."""
    rule = "refuses a config with an unknown key (exit code 2)"
    kept = run.exit_code == EXIT_CONFIG_ERROR and not run.stdout and bool(run.stderr.strip())
    return Verdict(rule, kept, f"exit code {run.exit_code}; {run.last_words}")


def judge_budget(run: Run, budget: float) -> Verdict:
    """The run ends by itself, without error, before its budget is over."""
    rule = f"ends inside its budget of {budget:g} s"
    if run.exit_code is None:
        return Verdict(rule, kept=False, detail=f"still running after {run.wall_seconds:.1f} s")
    if run.exit_code:
        return Verdict(rule, kept=False, detail=f"exit code {run.exit_code}; {run.last_words}")
    return Verdict(rule, run.wall_seconds <= budget, f"{run.wall_seconds:.1f} s")


def judge_stdout(run: Run) -> Verdict:
    """Standard output is one JSON object on one line and nothing else."""
    rule = "one JSON line on stdout, everything else on stderr"
    lines = len(run.stdout.splitlines())
    kept = run.result is not None
    return Verdict(rule, kept, "one object" if kept else f"{lines} lines, or no JSON object")


def judge_keys(run: Run) -> Verdict:
    """The result has every key, and its value follows from its counters."""
    rule = f"result keys complete, {METRIC.name} follows from its counters"
    problems = metrics_problems(run.result and with_whole_numbers(run.result), METRIC)
    if problems:
        return Verdict(rule, kept=False, detail="; ".join(problems))
    value = (run.result or {})[METRIC.name]
    if value is None:
        reason = (run.result or {}).get("stop_reason")
        return Verdict(rule, kept=False, detail=f"no value ({reason}); try a larger --budget")
    return Verdict(rule, kept=True, detail=f"{METRIC.name} {METRIC.text(value)}")


def judge_identity(run: Run, dataset_sha256: str) -> Verdict:
    """The result says which seed and which data it belongs to."""
    result = run.result or {}
    kept = result.get("seed") == SEED and result.get("dataset_sha256") == dataset_sha256
    detail = f"seed {result.get('seed')}, data set {str(result.get('dataset_sha256'))[:12]}"
    return Verdict("names the seed and the data set it was given", kept, detail)


def judge_denominator(run: Run, dataset_bytes: int) -> Verdict:
    """The evaluation covers the bytes that make values comparable."""
    allowed = EXPERIMENT.eval_bytes_allowed(dataset_bytes)
    eval_bytes = (run.result or {}).get("eval_bytes")
    agreed = " or ".join(f"{number:,} ({name})" for name, number in allowed.items())
    return Verdict(
        "evaluates the whole last tenth of the data, or the agreed subset",
        eval_bytes in allowed.values(),
        f"eval_bytes {eval_bytes}, agreed: {agreed}",
    )


def judge_replay(first: Run, second: Run, budget: float) -> Verdict:
    """With max_steps a run does all its steps, and the same seed gives the same value bit for bit.

    It may do fewer only when its budget ended it.
    """
    rule = f"replays: max_steps {REPLAY_STEPS} are all done, one seed gives one {METRIC.name}"
    if first.exit_code or first.result is None:
        return Verdict(rule, kept=False, detail=f"exit code {first.exit_code}; {first.last_words}")
    values = [(run.result or {}).get(METRIC.name) for run in (first, second)]
    steps = first.result.get("steps_completed")
    if steps != REPLAY_STEPS:
        detail = f"{steps} steps in {first.wall_seconds:.1f} s of {budget:g} s; only the end of "
        detail += "its budget may leave a run with other steps than max_steps"
        return Verdict(rule, kept=False, detail=detail)
    kept = values[0] is not None and values[0] == values[1]
    return Verdict(rule, kept, f"{values[0]} and {values[1]} after {steps} steps")


def judge_warm_start(cold: Run, warm: Run | None) -> Verdict:
    """In a process that has imported torch before, the script gives the same values.

    No rule for the script: one that does not starts cold on every worker.
    """
    rule = "starts warm: equal values in a process that has imported torch (else it starts cold)"
    if warm is None:
        return Verdict(rule, kept=True, detail="not tried: workers start warm on Linux only")
    pair = [
        {key: (run.result or {}).get(key) for key in (METRIC.name, *WARM_KEYS)}
        for run in (cold, warm)
    ]
    is_equal = warm.exit_code == 0 and pair[0][METRIC.name] is not None and pair[0] == pair[1]
    values = f"{pair[0][METRIC.name]} cold, {pair[1][METRIC.name]} warm"
    if warm.exit_code != 0:
        values = f"exit code {warm.exit_code}; {warm.last_words}"
    detail = values if is_equal else f"{values}: it starts cold"
    return Verdict(rule, kept=True, detail=detail, starts_warm=is_equal)


def judge_sigterm(run: Run) -> Verdict:
    """SIGTERM ends the run before an agent would kill it."""
    rule = f"ends within {KILL_GRACE_SECONDS:g} s after SIGTERM"
    if run.exit_code is None:
        return Verdict(rule, kept=False, detail="it had to be killed")
    printed = "with a result line" if run.result else "without a result line"
    return Verdict(rule, kept=True, detail=f"after {run.wall_seconds:.1f} s, {printed}")
