"""`manage.py`: output whose reader goes away, and django-q2's commands for its state."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

import manage
from tests import factories
from tests.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True)
posix_only = pytest.mark.skipif(os.name != "posix", reason="pipes and signals of POSIX")


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@posix_only
@pytest.mark.parametrize(
    ("command", "buffered"),
    [
        (["leaderboard", "{campaign}"], True),
        (["leaderboard", "{campaign}"], False),
        (["leaderboard", "{campaign}", "--json"], False),
        (["export_results", "{campaign}"], False),
        (["overview"], True),
        (["diffsettings", "--all"], True),
        (["leaderboard", "999999"], True),
    ],
    ids=str,
)
def test_output_whose_reader_has_gone_ends_a_command_quietly(
    command: list[str], buffered: bool, process_environment: dict[str, str]
) -> None:
    environment = process_environment | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    campaign = factories.completed_task().campaign
    arguments = [word.format(campaign=campaign.pk) for word in command]
    with start(environment, *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read().decode()
    if command[-1] == "999999":
        assert process.returncode == 1
        assert errors.startswith("CommandError: ")
    else:
        assert process.returncode == 141
        assert errors == ""


@posix_only
def test_errors_whose_reader_has_gone_end_a_command_quietly_too(
    process_environment: dict[str, str],
) -> None:
    with start(process_environment, "leaderboard", "999999") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        assert process.stdout.read() == b""
    assert process.returncode in {1, 141}


def test_a_pipe_that_breaks_elsewhere_is_an_error_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise BrokenPipeError("a socket of ours")

    monkeypatch.setattr("django.core.management.execute_from_command_line", broken)
    with pytest.raises(BrokenPipeError, match="a socket of ours"):
        manage.main()


@pytest.mark.parametrize(
    ("command", "words"),
    [(["qinfo"], "Clusters"), (["qmemory", "--run-once"], "Workers")],
    ids=["qinfo", "qmemory"],
)
def test_the_commands_for_the_state_of_the_q_cluster_work(
    command: list[str], words: str, process_environment: dict[str, str]
) -> None:
    with start(process_environment, *command) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    assert words in output.decode()
    assert "not installed" not in output.decode()
