"""Backup and restore while agents keep running: no result counts twice, nothing hangs.

The tests run the commands in docs/deployment.md, on a real PostgreSQL with real agents.
"""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from campaigns.models import Attempt, Result, Task, TaskState
from tests import factories, invariants
from tests.chaos.stack import Stack, claim, result_of, running_stack
from tests.chaos.work import make_campaign
from tests.postgres import binary_folders
from tests.processes import processes_mentioning, wait_until
from workers.agent.connection.client import RequestRefused, ServerUnavailable
from workers.protocol import HeartbeatAnswer, Verdict

ENOUGH_SECONDS = 60.0
TASKS = 36


@pytest.fixture
def stack(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[Stack]:
    with running_stack(tmp_path, web_servers=1) as running:
        settings.MEDIA_ROOT = running.media
        yield running


def database_url(stack: Stack) -> str:
    return stack.environment["DATABASE_URL"]


def program(name: str, *arguments: str | Path) -> None:
    folder = binary_folders()[0]
    run = subprocess.run(
        [folder / name, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr


def dump(stack: Stack, file: Path) -> None:
    program("pg_dump", "--format=custom", "--file", file, "--dbname", database_url(stack))


def restore(stack: Stack, file: Path) -> None:
    """Restore as documented: the server is stopped, the agents keep running."""
    stack.webs[0].stop()
    connection.close()
    options = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")
    program("pg_restore", *options, "--dbname", database_url(stack), file)
    stack.start_webs()


@pytest.mark.postgresql_only
@pytest.mark.long
def test_agents_go_on_over_a_restore_and_every_task_counts_once(
    stack: Stack, tmp_path: Path
) -> None:
    campaign = make_campaign(TASKS, params={"work_seconds": 0.2})
    fleet = stack.start_fleet("fleet", agents=3)
    wait_until(lambda: Result.objects.count() >= TASKS // 6, "the first results", ENOUGH_SECONDS)
    dump(stack, tmp_path / "backup.dump")
    at_backup = Result.objects.count()
    wait_until(
        lambda: Result.objects.count() >= at_backup + TASKS // 6, "more results", ENOUGH_SECONDS
    )
    forgotten = set(Attempt.objects.values_list("lease_id", flat=True))

    restore(stack, tmp_path / "backup.dump")

    forgotten -= set(Attempt.objects.values_list("lease_id", flat=True))
    assert forgotten, "the restore lost no attempt, so this run tests nothing"
    assert Result.objects.count() < at_backup + TASKS // 6
    wait_until(
        lambda: not Task.objects.exclude(state=TaskState.COMPLETED).exists(),
        "the rest of the campaign",
        ENOUGH_SECONDS,
    )
    campaign.refresh_from_db()
    assert campaign.results.count() == TASKS
    assert Result.objects.values("task").distinct().count() == TASKS
    assert not Attempt.objects.filter(lease_id__in=forgotten).exists()
    invariants.check()
    assert fleet.stop(), fleet.log_text()
    assert fleet.waiting_results() == 0, "a result of an unknown attempt is still in an outbox"
    assert processes_mentioning(tmp_path / "agents") == []


@pytest.mark.postgresql_only
def test_what_the_restored_database_does_not_know_gets_a_clear_answer(
    stack: Stack, tmp_path: Path
) -> None:
    make_campaign(3)
    client = stack.client("steady")
    (before,) = claim(client)
    dump(stack, tmp_path / "backup.dump")
    (after,) = claim(client)
    assert client.submit(before["lease_id"], result_of(before))["verdict"] == Verdict.ACCEPTED

    restore(stack, tmp_path / "backup.dump")

    # Claimed after the backup: the agent must stop and drop the result; the task runs again.
    beat = {"boot_id": after["lease_id"], "leases": [{"lease_id": after["lease_id"]}]}
    # Heartbeats and results each have a connection, which the stopped server closed; agents retry.
    with contextlib.suppress(ServerUnavailable):
        client.heartbeat(beat)  # type: ignore[arg-type]
    (answer,) = client.heartbeat(beat)["leases"]  # type: ignore[arg-type]
    assert answer["answer"] == HeartbeatAnswer.LOST
    with contextlib.suppress(ServerUnavailable, RequestRefused):
        client.submit(after["lease_id"], result_of(after))
    with pytest.raises(RequestRefused) as refused:
        client.submit(after["lease_id"], result_of(after))
    assert (refused.value.status, refused.value.code) == (404, "not_found")
    # Accepted after the backup: the same submission is accepted again and counts once.
    assert client.submit(before["lease_id"], result_of(before))["verdict"] == Verdict.ACCEPTED
    assert client.submit(before["lease_id"], result_of(before))["verdict"] == Verdict.ACCEPTED
    assert Result.objects.count() == 1
    states = list(Task.objects.order_by("number").values_list("state", flat=True))
    assert states == [TaskState.COMPLETED, TaskState.PENDING, TaskState.PENDING]
    invariants.check()


@pytest.mark.sqlite_only
@pytest.mark.django_db(transaction=True)
def test_a_copy_of_a_live_sqlite_database_is_whole(tmp_path: Path) -> None:
    """Do what `sqlite3 xeenet.sqlite3 ".backup copy"` does, while a writer holds its lock."""
    task = factories.completed_task()
    writer = sqlite3.connect(str(connection.settings_dict["NAME"]), timeout=20)
    writer.execute("BEGIN IMMEDIATE")
    source = sqlite3.connect(str(connection.settings_dict["NAME"]))
    copy = sqlite3.connect(tmp_path / "copy.sqlite3")
    try:
        source.backup(copy)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = copy.execute("SELECT id, state FROM campaigns_task").fetchall()
        assert rows == [(task.pk, "completed")]
    finally:
        for opened in (writer, source, copy):
            opened.close()
