"""Simulated metrics: sound in shape, repeatable, and different for different configs."""

from __future__ import annotations

from tests.agent.server import make_lease
from workers.agent.tasks.simulate import simulated_metrics, simulated_seconds
from workers.protocol import Lease
from workers.result_line import metrics_problems


def lease_with(**config: object) -> Lease:
    return make_lease(b"script", config={"seed": 1, **config})


def test_a_simulated_result_keeps_the_contract_of_the_result_line() -> None:
    for seed in range(50):
        assert metrics_problems(simulated_metrics(lease_with(seed=seed))) == []


def test_a_simulated_result_has_the_denominator_of_an_honest_one() -> None:
    dataset = {"name": "tinyshakespeare", "sha256": "ab" * 32, "size_bytes": 1_115_394}
    lease = make_lease(b"script", code_package_ref="train_char_lm", dataset=dataset)
    assert simulated_metrics(lease)["eval_bytes"] == 111_539


def test_the_same_config_gives_the_same_result_and_another_config_another() -> None:
    first, repeated, changed = (simulated_metrics(lease_with(lr=lr)) for lr in (0.1, 0.1, 0.2))
    assert first == repeated
    assert first["val_bpb"] != changed["val_bpb"]


def test_a_simulated_result_carries_the_seed_and_no_real_device() -> None:
    metrics = simulated_metrics(lease_with(seed=48))
    assert (metrics["seed"], metrics["device_used"]) == (48, "simulated")


def test_a_simulated_result_has_all_steps_of_a_config_that_names_them() -> None:
    metrics = simulated_metrics(lease_with(max_steps=17, batch_size=4, context_length=8))
    assert (metrics["steps_completed"], metrics["tokens_trained"]) == (17, 17 * 4 * 8)


def test_a_simulated_run_takes_a_twentieth_of_its_budget_but_at_most_a_second() -> None:
    assert simulated_seconds(10.0) == 0.5
    assert simulated_seconds(600.0) == 1.0
