"""The agent's state folder: private, for one agent at a time, and cleaned after a dead agent."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from workers.agent.state import (
    Credentials,
    StateFolder,
    StateFolderError,
    default_state_folder,
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")


def test_the_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XEENET_WORKER_HOME", "/elsewhere")
    assert default_state_folder() == Path("/elsewhere")


@pytest.mark.skipif(sys.platform != "linux", reason="XDG folders exist on Linux")
def test_on_linux_the_default_folder_is_the_users_state_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XEENET_WORKER_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_state_folder() == Path("/state/xeenet-worker")


def test_a_second_agent_on_the_same_folder_is_turned_away(tmp_path: Path) -> None:
    with (
        StateFolder(tmp_path).locked(),
        pytest.raises(StateFolderError, match="already running"),
        StateFolder(tmp_path).locked(),
    ):
        pass


def test_a_folder_is_free_again_after_its_agent(tmp_path: Path) -> None:
    for _ in range(2):
        with StateFolder(tmp_path).locked():
            pass


def test_the_tag_of_a_folder_survives_restarts_and_differs_from_other_folders(
    tmp_path: Path,
) -> None:
    first, again = StateFolder(tmp_path / "a"), StateFolder(tmp_path / "a")
    assert first.tag_prefix == again.tag_prefix
    assert first.tag_prefix != StateFolder(tmp_path / "b").tag_prefix


@posix_only
def test_credentials_are_kept_for_the_user_alone(tmp_path: Path) -> None:
    credentials = Credentials("http://localhost", "xw_secret", "bench")
    StateFolder(tmp_path).store_credentials(credentials)
    assert StateFolder(tmp_path).load_credentials() == credentials
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_new_folder_has_no_credentials(tmp_path: Path) -> None:
    assert StateFolder(tmp_path).load_credentials() is None


@pytest.mark.parametrize("text", ["", "[]", '{"token": 1}', "\0"])
def test_damaged_credentials_are_an_error_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    state = StateFolder(tmp_path)
    (tmp_path / "credentials.json").write_text(text)
    with pytest.raises(StateFolderError, match="enrol this worker again"):
        state.load_credentials()


def test_a_folder_that_cannot_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateFolderError, match="--state-dir"):
        StateFolder(tmp_path / "file")


def test_stale_task_folders_and_files_are_removed(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    (state.work / "task" / "deep").mkdir(parents=True)
    (state.work / "stray").touch()
    assert state.remove_stale_folders() == 2
    assert list(state.work.iterdir()) == []
