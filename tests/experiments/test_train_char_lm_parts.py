"""Inside the training script: what is evaluated, the model, the optimiser, the schedule."""

from __future__ import annotations

import math
import re
import sys
import time
from typing import Any

import pytest

from experiments import catalog
from tests.english_like import corpus
from tests.experiments.training_runs import SCRIPT, SMALL
from workers.result_line import metrics_problems

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def script() -> Any:
    """The script as a module. torch warns that numpy is missing, which the script does not need."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from experiments import train_char_lm
    return train_char_lm


def test_script_and_catalog_share_their_rules(script: Any) -> None:
    info = catalog.get_dataset("tinyshakespeare")
    assert info.sha256 == script.TINYSHAKESPEARE_SHA256
    assert list(info.urls) == script.TINYSHAKESPEARE_URLS
    path = script.cache_path("some", "0123456789abcdef")
    assert path.name == catalog.dataset_cache_name("some", "0123456789abcdef")
    parameters = catalog.get("train_char_lm").default_search_space["parameters"]
    names = {parameter["name"] for parameter in parameters}
    assert names | {"seed", "time_budget_seconds"} == script.REQUIRED


@pytest.mark.parametrize("size", [200, 5_000, 163_840, 163_860, 1_000_000])
@pytest.mark.parametrize("context", [32, 100, 256])
def test_what_is_evaluated_does_not_depend_on_the_context_length(
    script: Any, size: int, context: int
) -> None:
    text = corpus()[:size]
    run = script.Run(SMALL | {"context_length": context}, text, time.monotonic())
    allowed = catalog.get("train_char_lm").eval_bytes_allowed(size)
    predicted = {
        name: [byte for first, length in part for byte in range(first, first + length)]
        for name, part in (("full", run.whole_split), ("subset", run.subset))
    }
    assert {name: len(part) for name, part in predicted.items()} == allowed
    assert all(len(set(part)) == len(part) for part in predicted.values())
    assert all(0 <= byte < len(run.val_tokens) - 1 for byte in predicted["subset"])


def test_an_untrained_model_scores_about_the_logarithm_of_the_vocabulary(script: Any) -> None:
    text = corpus()
    run = script.Run(SMALL, text, time.monotonic())
    nats, count = run.evaluate(run.subset, deadline=math.inf)
    assert nats / count == pytest.approx(math.log(len(set(text))), abs=0.05)


def test_an_evaluation_that_would_pass_its_deadline_gives_nothing(script: Any) -> None:
    run = script.Run(SMALL, corpus(), time.monotonic())
    nats, count = run.evaluate(run.whole_split, deadline=-1.0)
    assert math.isnan(nats)
    assert count == 0


def run_of(script: Any, **changes: Any) -> Any:
    return script.Run(SMALL | changes, corpus(), time.monotonic())


def test_steps_whose_evaluation_comes_too_late_are_no_budget_without_a_step(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(script, max_steps=1)
    monkeypatch.setattr(run, "final_evaluation", lambda: (math.nan, 0))
    result = run.result()
    assert (result["steps_completed"], result["val_bpb"]) == (1, None)
    assert result["stop_reason"] == "no_time_to_evaluate"
    assert metrics_problems(result) == []


def test_sigterm_before_the_first_step_gives_no_value_of_the_untrained_model(script: Any) -> None:
    run = run_of(script)
    run.terminated = True
    result = run.result()
    assert (result["steps_completed"], result["val_bpb"]) == (0, None)
    assert (result["stop_reason"], result["eval_bytes"]) == ("budget_too_small", 0)
    assert metrics_problems(result) == []


class StalledClock:
    """A clock of which every reading takes a millisecond, and some of them longer (seconds)."""

    def __init__(self, **stalls: float) -> None:
        self.now, self.readings = 0.0, 0
        self.stalls = {int(reading.removeprefix("at_")): long for reading, long in stalls.items()}

    def __call__(self) -> float:
        self.readings += 1
        self.now += self.stalls.get(self.readings, 0.001)
        return self.now


def run_of_steps(script: Any, clock: StalledClock) -> dict[str, Any]:
    """Return the result of 4 steps with a budget of 100 s, of which the clock decides."""
    config = SMALL | {"batch_size": 300, "max_steps": 4, "time_budget_seconds": 100}
    run = script.Run(config, corpus()[:200_000], time.monotonic())
    run.elapsed = clock
    return dict(run.result())


@pytest.mark.parametrize(
    "stalls",
    [
        {"at_5": 40.0},  # in the first of three pieces of the first batch
        {"at_19": 55.0},  # in the second step
        {"at_14": 40.0},  # in the first evaluation, during training
    ],
    ids=str,
)
def test_under_max_steps_a_stall_changes_nothing_of_the_run(
    script: Any, stalls: dict[str, float]
) -> None:
    quiet, stalled = (run_of_steps(script, StalledClock(**each)) for each in ({}, stalls))
    assert stalled["wall_time_seconds"] > 40 > quiet["wall_time_seconds"]
    for result in (quiet, stalled):
        assert (result["stop_reason"], result["steps_completed"]) == ("max_steps", 4)
        assert result["eval_bytes"] == 19_999  # the whole split
    for key in ("val_bpb", "train_loss", "tokens_trained"):
        assert stalled[key] == quiet[key]


def test_under_max_steps_a_first_batch_that_comes_too_late_is_no_shorter_batch(script: Any) -> None:
    result = run_of_steps(script, StalledClock(at_5=95.0))
    assert (result["steps_completed"], result["tokens_trained"]) == (0, 0)
    assert (result["stop_reason"], result["val_bpb"]) == ("budget_too_small", None)


def test_under_max_steps_a_budget_that_ends_first_leaves_fewer_steps_and_says_so(
    script: Any,
) -> None:
    result = run_of_steps(script, StalledClock(at_19=90.0))
    assert 0 < result["steps_completed"] < 4
    assert (result["stop_reason"], result["eval_bytes"]) == ("time_budget", 19_999)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])  # each dtype has its own attention code
def test_the_model_cannot_see_the_future(script: Any, dtype: str) -> None:
    torch = script.torch
    config = SMALL | {"n_layers": 2}
    weights = [
        (torch.randn(part.shape) * 0.3).to(getattr(torch, dtype))
        for part in script.initial_weights(config, 20)
    ]
    tokens = torch.randint(20, (1, 32))
    changed = tokens.clone()
    changed[0, 20:] = (changed[0, 20:] + 1) % 20
    before = script.forward(weights, tokens, config)
    after = script.forward(weights, changed, config)
    assert torch.allclose(before[0, :20], after[0, :20], atol=1e-5)
    assert not torch.allclose(before[0, 20], after[0, 20], atol=1e-3)


def test_both_ways_of_attention_agree_to_the_precision_of_bfloat16(script: Any) -> None:
    torch = script.torch
    torch.manual_seed(1)
    qkv = torch.randn(3, 16, 3 * 32).bfloat16()
    plain = script.attention(qkv, 4).float()
    fused = script.attention(qkv.float(), 4)
    assert torch.allclose(fused, plain, atol=0.03)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "step_decay"])
def test_the_learning_rate_warms_up_and_then_only_falls(script: Any, schedule: str) -> None:
    config = {"lr": 1.0, "lr_schedule": schedule}
    rates = [script.learning_rate(config, step / 100) for step in range(101)]
    assert rates[0] < 0.1
    assert max(rates) > 0.9
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] <= 0.1


def test_adamw_takes_the_textbook_step(script: Any) -> None:
    torch = script.torch
    weights = torch.tensor([1.0, -2.0])
    optimiser = script.Optimiser(weights, [], torch.float32)
    optimiser.step(torch.tensor([0.3, -0.4]), lr=0.1)
    # After the first step the unbiased mean and square are g and g*g, so each weight moves by
    # lr * sign(g).
    decayed = torch.tensor([1.0, -2.0]) * (1 - 0.1 * script.WEIGHT_DECAY)
    assert torch.allclose(weights, decayed - 0.1 * torch.tensor([1.0, -1.0]), atol=1e-4)


def test_the_gradient_is_clipped_to_norm_one(script: Any) -> None:
    torch = script.torch
    optimiser = script.Optimiser(torch.zeros(2), [], torch.float32)
    optimiser.step(torch.tensor([300.0, -400.0]), lr=0.1)
    expected = (1 - script.BETA1) * torch.tensor([0.6, -0.8])
    assert torch.allclose(optimiser.mean, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 48, 16), (2, 8, 16)])
@pytest.mark.parametrize("scale", [1e-6, 1.0])
def test_newton_schulz_keeps_directions_and_makes_singular_values_near_one(
    script: Any, shape: tuple[int, ...], scale: float
) -> None:
    torch = script.torch
    torch.manual_seed(2)
    matrices = torch.randn(shape)
    u, sizes, v = torch.linalg.svd(matrices, full_matrices=False)
    # Those that are near zero take more iterations to grow: here the smallest is a tenth.
    matrices = u @ torch.diag_embed(sizes.clamp(min=sizes.max() / 10)) @ v
    result = script.orthogonal(scale * matrices, torch.float32)
    assert result.shape == shape
    inside = torch.diagonal(u.mT @ result @ v.mT, dim1=1, dim2=2)
    assert 0.5 < inside.min() < inside.max() < 1.4
    assert torch.allclose(u @ torch.diag_embed(inside) @ v, result, atol=1e-3)


def test_newton_schulz_leaves_zero_at_zero(script: Any) -> None:
    zero = script.torch.zeros(2, 4, 3)
    assert script.orthogonal(zero, script.torch.float32).equal(zero)


def test_every_matrix_of_the_blocks_moves_by_muon_and_the_rest_by_adamw(script: Any) -> None:
    """A step's root mean square is that of AdamW's, whatever the shape and the gradient's size."""
    run = run_of(script, n_layers=2, d_ff=96)
    torch, before, lr = script.torch, run.weights.clone(), 0.01
    sizes = torch.logspace(-4, 0, 15).tolist()  # 2 layers of 6 matrices, and 3 behind them
    shapes = [shape[-2:] for shape in run.shapes for _ in range(math.prod(shape[:-2]))]
    parts = [size * torch.randn(shape) for size, shape in zip(sizes, shapes, strict=True)]
    run.optimiser.step(torch.cat([part.flatten() for part in parts]), lr)

    moved = (run.weights - before * (1 - lr * script.WEIGHT_DECAY)) / lr
    for number, step in enumerate(moved.split([shape.numel() for shape in shapes])):
        rms = step.square().mean().sqrt().item()
        if number >= 12:
            assert rms == pytest.approx(1.0, abs=0.01)  # AdamW's very first step
            continue
        rows, columns = shapes[number]
        size = script.UPDATE_RMS * math.sqrt(max(rows, columns))
        values = torch.linalg.svdvals(step.view(rows, columns))
        assert values.max().item() < 1.4 * size
        assert rms == pytest.approx(script.UPDATE_RMS, rel=0.3)


def test_all_weights_are_counted_and_the_momentum_costs_no_more_than_adamw(script: Any) -> None:
    run = run_of(script, n_layers=3)
    vocabulary, width, wide = len(set(corpus())), SMALL["d_model"], SMALL["d_ff"]
    inner = 3 * (4 * width * width + 2 * width * wide)
    assert run.weights.numel() == inner + 3 * vocabulary * width
    assert run.optimiser.mean.numel() == run.weights.numel()
    assert run.optimiser.square.numel() == 3 * vocabulary * width


def test_the_script_imports_the_standard_library_and_torch_alone() -> None:
    source = SCRIPT.read_text(encoding="utf-8")
    names = re.findall(r"^\s*(?:import|from) (\w+)", source, flags=re.MULTILINE)
    assert set(names) - sys.stdlib_module_names == {"torch"}
