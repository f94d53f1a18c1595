"""The caches of data sets and scripts: their bounds, and what a script may have put in them."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.server import TEXT, Reply, running_server
from tests.agent.tasks.bench import SCRIPT, TEXT_SHA256, Bench, failure_of, metrics_of
from workers.agent.attempt import Attempt
from workers.agent.tasks import datasets as datasets_module
from workers.agent.tasks.datasets import cached_dataset, cached_dataset_path
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import DatasetReference, FailureClass

DATASET: DatasetReference = {"name": "hamlet", "sha256": TEXT_SHA256, "size_bytes": len(TEXT)}
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running_server() as server:
        bench = Bench(tmp_path, server)
        yield bench
        bench.client.close()


def within(seconds: float, work: Any) -> Any:
    """Return what ``work`` returns; fail when it does not return in time."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert results, "it hangs"
    return results[0]


def put(kind: str, path: Path, target: Path | None = None) -> None:
    """Put something that is no file at ``path``, as a script in tier T0 can."""
    path.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            (path / "deep").mkdir(parents=True)
        case "device link":
            path.symlink_to("/dev/zero")
        case "dangling link":
            path.symlink_to(path.parent / "nowhere")
        case "loop":
            path.symlink_to(path)
        case "endless file":
            with path.open("wb") as file:
                file.truncate(2**40)


KINDS = ["pipe", "folder", "device link", "dangling link", "loop", "endless file"]


@posix_only
@pytest.mark.parametrize("kind", KINDS)
def test_a_data_set_that_a_script_swapped_is_fetched_again(bench: Bench, kind: str) -> None:
    metrics_of(bench.run(bench.attempt()))
    path = cached_dataset_path(bench.state.data, DATASET)
    put(kind, path)
    metrics_of(within(30, lambda: bench.run(bench.attempt())))
    assert path.read_bytes() == TEXT
    assert not path.is_symlink()


@posix_only
@pytest.mark.parametrize("kind", KINDS)
def test_a_script_in_the_cache_that_another_script_swapped_is_fetched_again(
    bench: Bench, kind: str
) -> None:
    path = bench.state.packages / f"{hashlib.sha256(SCRIPT).hexdigest()}.py"
    put(kind, path)
    outcomes = [within(30, lambda: bench.run(bench.attempt())) for _ in range(2)]
    assert metrics_of(outcomes[-1])  # a file with other bytes costs one try
    assert path.read_bytes() == SCRIPT


@posix_only
def test_the_owners_folder_may_hold_links_to_data_sets(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(TEXT)
    folder = tmp_path / "data"
    folder.mkdir()
    path = cached_dataset_path(folder, DATASET)
    path.symlink_to(tmp_path / "large")
    assert cached_dataset(folder, DATASET) == path


def test_a_data_set_larger_than_the_owner_allows_is_refused_before_anything_is_fetched(
    bench: Bench,
) -> None:
    kept = bench.state.data / "kept"
    kept.write_bytes(b"x" * 1_000)
    attempt = bench.attempt(dataset={**DATASET, "size_bytes": 10**15})
    outcome = bench.run(attempt)
    failure_class, message = failure_of(outcome)
    assert failure_class is FailureClass.REFUSED
    assert "1,000,000,000,000,000 bytes" in message
    assert "--dataset-limit" in message
    assert kept.exists()  # the cache was not emptied for it
    assert bench.server.calls("datasets") == []


def test_the_owners_limit_counts(bench: Bench) -> None:
    outcome = bench.run(bench.attempt(), dataset_bytes=len(TEXT) - 1)
    assert failure_of(outcome)[0] is FailureClass.REFUSED
    assert metrics_of(bench.run(bench.attempt(), dataset_bytes=len(TEXT)))


def test_a_download_that_would_fill_the_disk_is_not_begun(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = datasets_module._FLOOR_BYTES
    monkeypatch.setattr(datasets_module, "free_bytes", lambda _: floor + len(TEXT) - 1)
    failure_class, message = failure_of(bench.run(bench.attempt()))
    assert failure_class is FailureClass.ENV_ERROR
    assert "no room" in message
    assert bench.server.calls("datasets") == []


@pytest.mark.parametrize(
    "body", [TEXT + b"x", TEXT[:-1], b"", TEXT * 1_000], ids=["more", "less", "none", "far more"]
)
def test_a_data_set_of_another_size_leaves_nothing(bench: Bench, body: bytes) -> None:
    bench.server.scripted["datasets"] = [Reply(200, body)]
    assert failure_of(bench.run(bench.attempt()))[0] is FailureClass.ENV_ERROR
    assert list(bench.state.data.iterdir()) == []


def test_the_time_of_a_download_grows_with_its_size_up_to_a_bound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds: list[float] = []
    monkeypatch.setattr(
        bench.client, "download", lambda *_, **options: seconds.append(options["seconds"])
    )
    for size in (1, 32 * 1024 * 1000, 10**12):
        dataset: DatasetReference = {**DATASET, "size_bytes": size}
        datasets_module.fetch_dataset(bench.state.data, dataset, bench.client)
    assert seconds == [pytest.approx(60.0, abs=0.1), 1060.0, 6 * 3600.0]


def test_a_dripping_data_set_goes_back_and_blames_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets_module, "_START_SECONDS", 0.5)
    bench.server.scripted["datasets"] = [Reply(200, TEXT, drip_seconds=0.05)] * 4
    attempt: Attempt = bench.attempt(script_origin="uploaded")
    policy = CodePolicy(server_code=True, uploaded_scripts=True)
    outcome = within(20, lambda: bench.run(attempt, policy=policy))
    assert outcome.submission is None
    assert "within" in outcome.release_reason
    assert len(bench.server.calls("datasets")) == 1
