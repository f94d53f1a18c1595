"""What a task needs from the server, its script and its data set: fetched once, by their hashes."""

from __future__ import annotations

import pytest

from experiments import catalog
from tests.agent.server import TEXT, error
from tests.agent.tasks.bench import PREPARING_SCRIPT, TEXT_SHA256, Bench, failure_of, metrics_of
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import ErrorCode, FailureClass


def test_the_script_of_this_installation_needs_no_server(bench: Bench) -> None:
    name, sha256 = "train_char_lm", catalog.script_sha256("train_char_lm")
    attempt = bench.attempt(code_package_ref=name, code_sha256=sha256)
    bench.run(attempt, policy=CodePolicy())
    assert bench.server.calls("packages") == []


@pytest.mark.parametrize("name", ["train_char_lm", "script_of_a_test"])
def test_other_code_than_this_installations_is_refused(bench: Bench, name: str) -> None:
    attempt = bench.attempt(code_package_ref=name)
    outcome = bench.run(attempt, policy=CodePolicy())
    failure_class, message = failure_of(outcome)
    assert failure_class is FailureClass.REFUSED
    assert "--allow-server-code" in message
    assert outcome.pause_reason


def test_allowed_code_is_fetched_once_by_its_hash(bench: Bench) -> None:
    for _ in range(2):
        metrics_of(bench.run(bench.attempt()))
    assert len(bench.server.calls("packages")) == 1


def test_code_with_another_hash_than_asked_for_does_not_run(bench: Bench) -> None:
    attempt = bench.attempt()
    bench.server.files[attempt.lease["code_sha256"]] = b"print('something else')"
    failure_class, message = failure_of(bench.run(attempt))
    assert failure_class is FailureClass.ENV_ERROR
    assert "SHA-256" in message


def test_cached_code_that_was_changed_on_disk_does_not_run(bench: Bench) -> None:
    attempt = bench.attempt()
    cached = bench.state.packages / f"{attempt.lease['code_sha256']}.py"
    cached.write_text("print('something else')")
    assert failure_of(bench.run(attempt))[0] is FailureClass.ENV_ERROR
    assert metrics_of(bench.run(bench.attempt()))


@pytest.mark.parametrize("files", ["packages", "datasets"])
def test_a_lease_that_ran_out_before_its_files_were_fetched_is_nobodys_fault(
    bench: Bench, files: str
) -> None:
    bench.server.scripted[files] = [error(409, ErrorCode.LEASE_LOST)]
    outcome = bench.run(bench.attempt())
    assert (outcome.submission, outcome.pause_reason, outcome.release_reason) == (None, "", "")


@pytest.mark.parametrize("files", ["packages", "datasets"])
def test_a_server_that_does_not_deliver_a_tasks_files_gets_it_back_and_nobody_is_blamed(
    bench: Bench, files: str
) -> None:
    bench.server.scripted[files] = [error(503, "away", Retry_After="0") for _ in range(4)]
    outcome = bench.run(bench.attempt())
    assert (outcome.submission, outcome.pause_reason) == (None, "")
    assert outcome.release_reason == "the server did not deliver the task's files: no (HTTP 503)"
    assert outcome.unavailable is not None
    assert list(bench.state.work.iterdir()) == []


def test_no_task_is_held_for_as_long_as_a_server_asks_to_be_left_alone(bench: Bench) -> None:
    bench.server.scripted["packages"] = [error(503, "away", Retry_After="3600")]
    outcome = bench.run(bench.attempt())
    assert outcome.unavailable is not None
    assert outcome.unavailable.retry_after_seconds == 3600.0
    assert len(bench.server.calls("packages")) == 1


def test_a_script_that_fetches_its_data_set_by_itself_needs_no_server_for_it(bench: Bench) -> None:
    bench.server.scripted["datasets"] = [error(503, "away", Retry_After="3600")]
    assert metrics_of(bench.run(bench.attempt(PREPARING_SCRIPT)))


@pytest.mark.parametrize("files", ["packages", "datasets"])
def test_files_that_the_server_refuses_are_this_machines_trouble(bench: Bench, files: str) -> None:
    bench.server.scripted[files] = [error(403, ErrorCode.PERMISSION_DENIED)]
    outcome = bench.run(bench.attempt())
    assert failure_of(outcome)[0] is FailureClass.ENV_ERROR
    assert outcome.pause_reason


def test_the_data_set_is_fetched_from_the_server_once(bench: Bench) -> None:
    for _ in range(2):
        metrics_of(bench.run(bench.attempt()))
    assert len(bench.server.calls("datasets")) == 1
    (path,) = bench.state.data.iterdir()
    assert path.read_bytes() == TEXT
    assert path.name == f"hamlet-{TEXT_SHA256[:12]}.txt"


def test_a_data_set_that_was_changed_on_disk_is_fetched_again(bench: Bench) -> None:
    bench.run(bench.attempt())
    (path,) = bench.state.data.iterdir()
    path.write_text("poisoned")
    metrics_of(bench.run(bench.attempt()))
    assert path.read_bytes() == TEXT


def test_a_data_set_the_server_does_not_hold_comes_from_the_scripts_prepare_step(
    bench: Bench,
) -> None:
    del bench.server.files[TEXT_SHA256]
    assert metrics_of(bench.run(bench.attempt(PREPARING_SCRIPT)))


def test_a_data_set_that_nobody_has_is_an_env_error_that_says_what_was_tried(
    bench: Bench,
) -> None:
    del bench.server.files[TEXT_SHA256]
    source = b"import sys; print('no mirror answers', file=sys.stderr); sys.exit(3)"
    failure_class, message = failure_of(bench.run(bench.attempt(source)))
    assert failure_class is FailureClass.ENV_ERROR
    assert "hamlet" in message
    assert "no mirror answers" in message


def test_a_data_set_larger_than_announced_is_not_taken(bench: Bench) -> None:
    dataset = {"name": "hamlet", "sha256": TEXT_SHA256, "size_bytes": 10}
    assert failure_of(bench.run(bench.attempt(dataset=dataset)))[0] is FailureClass.ENV_ERROR
    assert list(bench.state.data.iterdir()) == []


def test_a_busy_server_does_not_spoil_the_set_up(bench: Bench) -> None:
    bench.server.scripted["datasets"] = [error(503, "database_unavailable", Retry_After="0.1")]
    assert metrics_of(bench.run(bench.attempt()))
