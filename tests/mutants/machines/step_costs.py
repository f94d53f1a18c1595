"""Guards of fixed steps and of what a step costs: the script, its description and the fit."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

SCRIPT: Final = "experiments/train_char_lm.py"
DESCRIBE: Final = "campaigns/work/describe.py"
FIT: Final = "campaigns/work/fit.py"
CONTRACT: Final = "campaigns/scripts/contract.py"
PARTS: Final = "tests/experiments/test_train_char_lm_parts.py"
DESCRIBE_TESTS: Final = "tests/work/test_describe.py"
CONTRACT_TESTS: Final = "tests/commands/test_check_experiment.py"

STEP_COSTS: Final = (
    Mutant(
        "fixed steps: a forecast ends the run",
        SCRIPT,
        "self.foresight = 0 if self.max_steps else 1",
        "self.foresight = 1",
        (PARTS, "-k", "a_stall_changes"),
    ),
    Mutant(
        "fixed steps: the first batch is cut short",
        SCRIPT,
        "if self.terminated or (late and (self.optimiser.steps or self.max_steps)):",
        "if self.terminated or (late and self.optimiser.steps):",
        (PARTS, "-k", "too_late_is_no_shorter"),
    ),
    Mutant(
        "fixed steps: an estimate of the evaluation ends the run",
        SCRIPT,
        "            subset = min(subset, most)\n",
        "            pass\n",
        (PARTS, "-k", "a_stall_changes"),
    ),
    Mutant(
        "the script: Muon's updates are not scaled by their shape",
        SCRIPT,
        "alpha=-lr * UPDATE_RMS * max(stack[-2:]) ** 0.5)",
        "alpha=-lr * UPDATE_RMS)",
        (PARTS, "-k", "moves_by_muon"),
    ),
    Mutant(
        "the script: Newton-Schulz divides zero by zero",
        SCRIPT,
        "keepdim=True) + EPSILON)",
        "keepdim=True))",
        (PARTS, "-k", "leaves_zero_at_zero"),
    ),
    Mutant(
        "SIGTERM during the import of torch says nothing",
        SCRIPT,
        "    signal.signal(signal.SIGTERM, end_early)\n",
        "    pass\n",
        ("tests/experiments/test_train_char_lm_inputs.py", "-k", "while_torch_is_imported"),
    ),
    Mutant(
        "describe: the last of two assignments counts",
        DESCRIBE,
        "    if len(values) > 1:\n",
        "    if False:\n",
        (DESCRIBE_TESTS, "-k", "cannot_be_read_off"),
    ),
    Mutant(
        "describe: a term named twice counts once",
        DESCRIBE,
        "        if name in terms:\n",
        "        if False:\n",
        (DESCRIBE_TESTS, "-k", "cannot_be_read_off"),
    ),
    Mutant(
        "describe: a change after the assignment is not seen",
        DESCRIBE,
        "        case ast.AugAssign(target=target) if _binds(target):\n",
        "        case ast.AugAssign(target=target) if False:\n",
        (DESCRIBE_TESTS, "-k", "cannot_be_read_off"),
    ),
    Mutant(
        "describe: a bool is an amount",
        DESCRIBE,
        "if isinstance(value, bool) or not isinstance(value, int | float):",
        "if not isinstance(value, int | float):",
        (DESCRIBE_TESTS, "-k", "no_cost"),
    ),
    Mutant(
        "describe: an amount below 0",
        DESCRIBE,
        "if not (math.isfinite(amount) and amount >= 0):",
        "if not math.isfinite(amount):",
        (DESCRIBE_TESTS, "-k", "no_cost"),
    ),
    Mutant(
        "describe: a source of any number of statements is parsed",
        DESCRIBE,
        "> MAX_STATEMENTS:",
        "< 0:",
        (DESCRIBE_TESTS, "-k", "statements"),
    ),
    Mutant(
        "cost: a step may cost nothing",
        "campaigns/work/cost.py",
        "if not (math.isfinite(seconds) and seconds > 0):",
        "if not math.isfinite(seconds):",
        ("tests/work/test_cost.py", "-k", "costs_nothing"),
    ),
    Mutant(
        "fit: long steps weigh more than short ones",
        FIT,
        "shape[name] / largest[name] / time for name",
        "shape[name] / largest[name] / step_seconds[0] for name",
        ("tests/work/test_fit.py", "-k", "short_step_weighs"),
    ),
    Mutant(
        "check_experiment: any description that is printed will do",
        CONTRACT,
        "if not is_number(value) or not math.isclose(value, amount, rel_tol=1e-9):",
        "if not is_number(value):",
        (CONTRACT_TESTS, "-k", "prints_of_its_cost"),
    ),
    Mutant(
        "check_experiment: fewer steps than max_steps",
        CONTRACT,
        "    if steps != REPLAY_STEPS:\n",
        "    if False:\n",
        (CONTRACT_TESTS, "-k", "a_replay_must_agree"),
    ),
    Mutant(
        "simulated runs: other steps than max_steps",
        "workers/agent/tasks/simulate.py",
        '_count(config, "max_steps", rng.randrange(200, 2_000))',
        "rng.randrange(200, 2_000)",
        ("tests/agent/tasks/test_simulate.py", "-k", "all_steps"),
    ),
    Mutant(
        "result line: no step fitted, after steps",
        "workers/agent/output/metrics.py",
        '        metrics["stop_reason"] = "time_budget" if has_value else STOP_NOT_EVALUATED\n',
        '        metrics["stop_reason"] = "time_budget" if has_value else STOP_BUDGET_TOO_SMALL\n',
        ("tests/agent/tasks/test_endings.py", "-k", "no_step_fitted_after_a_step"),
    ),
)
