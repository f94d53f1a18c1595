"""`xeenet-worker leave`: ends the worker on its server, then deletes what its owner wants gone."""

from __future__ import annotations

import io
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.server import WORKER_TOKEN, AgentServer, error, running_server
from tests.versions.old_server import OldServer
from workers.agent import cli
from workers.agent.delivery.outbox import Outbox
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_OK, EXIT_STATE_FOLDER, EXIT_USAGE
from workers.agent.leave import command
from workers.agent.service import apply
from workers.agent.service.plan import Kind, Request, plan_for
from workers.agent.service.program import this_program
from workers.agent.setup.environments import Environments
from workers.agent.state import Credentials, StateFolder
from workers.agent.tasks.judgement import failure
from workers.protocol import ErrorCode, FailureClass


@pytest.fixture(scope="module")
def running() -> Iterator[AgentServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(running: AgentServer) -> AgentServer:
    running.requests.clear()
    running.results.clear()
    running.scripted.clear()
    return running


def enrolled(tmp_path: Path, url: str) -> Path:
    """Return a state folder with a history, a data set and an environment beside it."""
    root = tmp_path / "state"
    state = StateFolder(root)
    state.store_credentials(Credentials(url, WORKER_TOKEN, "attic"))
    state.history.write_text("{}\n")
    (state.data / "corpus").write_bytes(b"x" * 1_000_000)
    environment = tmp_path / "state-python" / "env-1" / "bin"
    environment.mkdir(parents=True, exist_ok=True)
    (environment / "python").write_bytes(b"x" * 2_000_000)
    return root


def leave(root: Path, *words: str) -> int:
    return cli.main(["leave", *words, "--state-dir", str(root)])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_results_go_first_then_the_worker_then_only_its_token(
    server: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = enrolled(tmp_path, server.url)
    lease_id = str(uuid.uuid4())
    Outbox(root / "outbox").put(lease_id, failure(FailureClass.OOM, "out of memory"))
    server.released_by_leaving = 2
    assert leave(root, "--yes") == EXIT_OK
    paths = [path for _, path, _ in server.requests]
    assert paths == [f"leases/{lease_id}/result", "workers/me", "workers/me/leave"]
    text = capsys.readouterr().out
    assert "attic has left 127.0.0.1" in text
    assert "2 tasks of it went back" in text
    assert "1 MB  data sets" in text
    assert "2 MB  environments" in text
    assert not (root / "credentials.json").exists()
    assert (root / "data" / "corpus").exists()
    assert (root / "history.jsonl").exists()
    assert leave(root, "--yes") == EXIT_OK  # once more: there is no server to leave
    assert "not enrolled" in capsys.readouterr().out


def test_everything_of_the_worker_goes_and_nothing_else_also_behind_links(
    server: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = enrolled(tmp_path, server.url)
    mine = tmp_path / "my-disk"
    mine.mkdir()
    (mine / "corpus").write_text("mine")
    (root / "data" / "corpus").unlink()
    (root / "data").rmdir()
    (root / "data").symlink_to(mine)
    (root / "kept").mkdir()
    (root / "kept" / "link").symlink_to(mine)
    (tmp_path / "state-python" / "env-1" / "lib").symlink_to(mine)
    (root / "thesis.txt").write_text("mine")
    (tmp_path / "state-python" / "notes.txt").write_text("mine")
    assert leave(root, "--yes", "--delete") == EXIT_OK
    assert names(root) == {"thesis.txt"}
    assert names(tmp_path / "state-python") == {"notes.txt"}
    assert (mine / "corpus").read_text() == "mine"
    text = capsys.readouterr().out
    assert f"{root / 'data'} is a link" in text
    assert "stays what no agent made: thesis.txt" in text
    (tmp_path / "clean").mkdir()
    root = enrolled(tmp_path / "clean", server.url)
    with Environments(root).locked():  # a set-up is under way
        assert leave(root, "--yes", "--delete") == EXIT_OK
    assert "another set-up is running" in capsys.readouterr().err
    assert names(tmp_path / "clean") == {"state-python"}
    root = enrolled(tmp_path / "clean", server.url)
    assert leave(root, "--yes", "--delete") == EXIT_OK
    assert names(tmp_path / "clean") == set()


def test_each_kind_is_asked_for_with_its_size(
    server: AgentServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = enrolled(tmp_path, server.url)
    assert leave(root) == EXIT_USAGE  # nobody is there to be asked
    assert server.requests == []

    answers = io.StringIO("y\nn\ny\n\n")
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", answers)
    assert leave(root) == EXIT_OK
    text = capsys.readouterr().out
    assert "Delete the environments (2 MB)? [y/N]" in text
    assert (tmp_path / "state-python" / "env-1").exists()
    assert not (root / "data").exists()
    assert (root / "history.jsonl").exists()


def test_while_an_agent_runs_nothing_is_changed(
    server: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = enrolled(tmp_path, server.url)
    before = names(root)
    with StateFolder(root).locked():
        assert leave(root, "--yes", "--delete") == EXIT_STATE_FOLDER
    assert "Stop it first" in capsys.readouterr().err
    assert names(root) | {"lock"} == before | {"lock"}
    assert server.requests == []


def test_a_folder_that_no_agent_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert leave(tmp_path, "--yes", "--delete") == EXIT_OK
    assert names(tmp_path) == {"data"}
    assert leave(tmp_path / "missing", "--yes", "--delete") == EXIT_OK
    assert not (tmp_path / "missing").exists()


def test_a_server_that_knows_the_worker_no_more_is_left_all_the_same(
    server: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for code, status, words in (
        (ErrorCode.NOT_AUTHENTICATED, 401, "does not know this worker any more"),
        (ErrorCode.PERMISSION_DENIED, 403, "has disabled attic already"),
    ):
        folder = tmp_path / str(status)
        folder.mkdir()
        root = enrolled(folder, server.url)
        server.scripted["workers/me"] = [error(status, code)]
        assert leave(root, "--yes") == EXIT_OK
        assert words in capsys.readouterr().out
        assert not (root / "credentials.json").exists()


def test_an_old_or_absent_server_is_left_only_on_purpose_and_what_stays_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_DELIVERY_SECONDS", 0.3)
    with running_server(OldServer) as old:
        root = enrolled(tmp_path, old.url)
        assert leave(root, "--yes") == EXIT_CANNOT_RUN
        assert "is older and cannot end a worker" in capsys.readouterr().err
        assert old.refused == []  # it was not asked for what it does not know
    Outbox(root / "outbox").put(str(uuid.uuid4()), failure(FailureClass.OOM, "x"))
    assert leave(root, "--yes", "--delete") == EXIT_CANNOT_RUN  # it is gone by now
    assert "1 result cannot be sent now and would be lost" in capsys.readouterr().err
    assert (root / "credentials.json").exists()
    assert len(list((root / "outbox").glob("*.json"))) == 1
    assert leave(root, "--yes", "--delete", "--without-server") == EXIT_OK
    assert "its token would still open it" in " ".join(capsys.readouterr().out.split())
    assert not root.exists()


def test_the_service_goes_first(
    server: AgentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = enrolled(tmp_path, server.url)
    ran: list[str] = []
    home = tmp_path / "home"
    request = Request(Kind.SYSTEMD, this_program(root), root, home, "ada")
    monkeypatch.setattr(apply, "run_command", lambda words: ran.append(" ".join(words)) or "")
    apply.install(plan_for(request), root, apply.run_command)
    ran.clear()
    assert leave(root, "--yes", "--delete") == EXIT_OK
    assert ran[0] == "systemctl --user disable --now xeenet-worker.service"
    assert not home.exists()
    assert not root.exists()


def test_what_ephemeral_workers_keep_goes_with_the_data_sets(
    server: AgentServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = enrolled(tmp_path, server.url)
    kept = root / "shared" / "data"
    kept.mkdir(parents=True)
    (kept / "corpus").write_bytes(bytes(2 * 1024 * 1024))
    assert leave(root, "--yes", "--keep") == EXIT_OK
    assert "3 MB  data sets" in capsys.readouterr().out
    assert leave(root, "--yes", "--delete") == EXIT_OK
    assert not (root / "shared").exists()
    assert not (root / "data").exists()
