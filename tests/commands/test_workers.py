"""``manage.py enroll_worker`` and ``run_worker``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from tests import factories
from workers import lifecycle
from workers.agent import cli
from workers.agent.state import Credentials, StateFolder
from workers.models import EnrolmentToken, Worker
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db


def run(command: str, *arguments: str) -> str:
    output = StringIO()
    call_command(command, *arguments, stdout=output)
    return output.getvalue()


def test_the_printed_command_holds_a_token_that_enrols_one_machine() -> None:
    output = run("enroll_worker", "--name", "attic", "--server", "https://lab.example.org")
    match = re.search(r"xeenet-worker --server (\S+) --enrol (xe_\S+) --name attic", output)
    assert match is not None
    assert match[1] == "https://lab.example.org"
    worker, _ = lifecycle.enrol(match[2], now=timezone.now(), name="attic")
    assert worker.name == "attic"
    with pytest.raises(lifecycle.EnrolmentRefused):
        lifecycle.enrol(match[2], now=timezone.now(), name="cellar")


def test_the_token_itself_is_not_stored() -> None:
    secret = re.search(r"xe_\S+", run("enroll_worker"))
    assert secret is not None
    assert EnrolmentToken.objects.get().token_hash == hash_token(secret[0])


def test_direct_makes_a_worker_and_prints_its_token() -> None:
    secret = re.search(
        r"XEENET_WORKER_TOKEN=(xw_\S+)", run("enroll_worker", "--direct", "--name", "x")
    )
    assert secret is not None
    assert Worker.objects.get(name="x").token_hash == hash_token(secret[1])


def test_direct_needs_a_name_that_is_free() -> None:
    factories.worker("taken")
    with pytest.raises(CommandError, match="needs --name"):
        run("enroll_worker", "--direct")
    with pytest.raises(CommandError, match="'taken' exists"):
        run("enroll_worker", "--direct", "--name", "taken")


@pytest.mark.parametrize("direct", [[], ["--direct"]])
def test_a_name_of_peoples_own_programs_is_refused(direct: list[str]) -> None:
    with pytest.raises(CommandError, match="kept for people's own programs"):
        run("enroll_worker", "--name", "ask:ada", *direct)
    assert not Worker.objects.exists()
    assert not EnrolmentToken.objects.exists()


@pytest.fixture
def agent_calls(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> list[list[str]]:
    """The arguments of each call of the agent's main, which runs nothing here."""
    settings.XEENET_HOME = tmp_path
    calls: list[list[str]] = []

    def main(arguments: Sequence[str]) -> int:
        calls.append(list(arguments))
        return 0

    monkeypatch.setattr(cli, "main", main)
    return calls


def test_the_first_start_of_a_local_worker_brings_an_invitation(
    agent_calls: list[list[str]], tmp_path: Path
) -> None:
    run("run_worker", "--name", "here", "--", "--once", "--threads", "1")
    [arguments] = agent_calls
    assert arguments[arguments.index("--state-dir") + 1] == str(tmp_path / "agents" / "here")
    secret = arguments[arguments.index("--enrol") + 1]
    assert EnrolmentToken.objects.get().token_hash == hash_token(secret)
    assert arguments[-3:] == ["--once", "--threads", "1"]


def test_later_starts_use_the_enrolment_that_is_there(
    agent_calls: list[list[str]], tmp_path: Path
) -> None:
    state = StateFolder(tmp_path / "agents" / "here")
    state.store_credentials(Credentials("http://127.0.0.1:8000", "xw_x", "here"))
    run("run_worker", "--name", "here")
    assert "--enrol" not in agent_calls[0]
    assert not EnrolmentToken.objects.exists()


@pytest.mark.parametrize("name", ["..", "a/b", ""])
def test_a_name_that_leaves_the_folder_is_refused(name: str, agent_calls: list[list[str]]) -> None:
    with pytest.raises(CommandError, match="choose another --name"):
        run("run_worker", "--name", name)
    assert not agent_calls


def test_a_failure_of_the_agent_is_the_status_of_the_command(
    agent_calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "main", lambda _arguments: 4)
    with pytest.raises(SystemExit) as info:
        run("run_worker", "--name", "here")
    assert info.value.code == 4
