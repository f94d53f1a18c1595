"""dev.py's virtual environment: when it installs, and its messages; the real one stays unused."""

import json
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from devtools.environment import LEVELS, Environment, SetupError, child_variables, run


class RecordingEnvironment(Environment):
    """An environment in an empty folder that only records installs (real ones take minutes)."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.installed: list[str] = []
        (root / "requirements").mkdir()
        for level in LEVELS:
            self.lock_file(level).write_text(f"package-of-{level}==1\n")

    def _create(self) -> None:
        self.python.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / "pyvenv.cfg").write_text("version = 3.11.7\n")

    def _is_usable(self) -> bool:
        return self.folder.exists()

    def _install(self, level: str) -> None:
        time.sleep(0.05)  # long enough for a second thread to arrive
        self.installed.append(level)


@pytest.fixture
def environment(tmp_path: Path) -> RecordingEnvironment:
    return RecordingEnvironment(tmp_path)


def test_a_second_call_installs_nothing(environment: RecordingEnvironment) -> None:
    environment.ensure("runtime")
    environment.ensure("runtime")
    assert environment.installed == ["runtime"]


def test_a_higher_level_holds_the_lower_ones(environment: RecordingEnvironment) -> None:
    environment.ensure("dev")
    environment.ensure("runtime")
    environment.ensure("worker")
    assert environment.installed == ["dev"]


def test_a_lower_level_does_not_hold_the_higher_one(environment: RecordingEnvironment) -> None:
    environment.ensure("worker")
    environment.ensure("dev")
    assert environment.installed == ["worker", "dev"]


@pytest.mark.parametrize("changed", LEVELS)
def test_any_changed_lock_installs_again(environment: RecordingEnvironment, changed: str) -> None:
    environment.ensure("runtime")
    environment.lock_file(changed).write_text("package==2\n")
    environment.ensure("runtime")
    assert environment.installed == ["runtime", "runtime"]


def test_another_python_installs_again(environment: RecordingEnvironment) -> None:
    environment.ensure("runtime")
    (environment.folder / "pyvenv.cfg").write_text("version = 3.13.0\n")
    environment.ensure("runtime")
    assert environment.installed == ["runtime", "runtime"]


def test_an_interrupted_install_is_not_taken_for_a_complete_one(
    environment: RecordingEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.ensure("runtime")
    environment.lock_file("dev").write_text("package==2\n")

    def fail(level: str) -> None:
        raise SetupError(level)

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_install", fail)
        with pytest.raises(SetupError):
            environment.ensure("runtime")
    environment.lock_file("dev").write_text("package-of-dev==1\n")  # back to the first lock
    environment.ensure("runtime")
    assert environment.installed == ["runtime", "runtime"]


@pytest.mark.parametrize("stamp", ["", "null", "[]", '{"level": "runtime"}', '{"level": 3}'])
def test_a_spoilt_stamp_installs_again(environment: RecordingEnvironment, stamp: str) -> None:
    environment.ensure("runtime")
    environment.stamp.write_text(stamp)
    environment.ensure("runtime")
    assert environment.installed == ["runtime", "runtime"]


def test_two_set_ups_at_once_install_once(environment: RecordingEnvironment) -> None:
    threads = [threading.Thread(target=environment.ensure, args=["runtime"]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert environment.installed == ["runtime"]


def test_a_folder_that_cannot_be_written_gets_a_clear_error(tmp_path: Path) -> None:
    environment = RecordingEnvironment(tmp_path)
    (tmp_path / ".xeenet").write_text("a file where a folder is needed")
    with pytest.raises(SetupError, match=r"cannot write in .* Use a folder that you own"):
        environment.ensure("runtime")


def test_a_python_without_ensurepip_names_the_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SetupError, match="apt-get install python3-venv"):
        Environment(tmp_path)._create()


def test_a_broken_environment_is_noticed(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    assert not environment._is_usable()
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(tmp_path / "removed-by-an-upgrade")
    assert not environment._is_usable()


def test_another_projects_settings_do_not_reach_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.settings")
    monkeypatch.setenv("DATABASE_URL", "kept")
    variables = child_variables({"EXTRA": "added"})
    assert "DJANGO_SETTINGS_MODULE" not in variables
    assert variables["DATABASE_URL"] == "kept"
    assert variables["EXTRA"] == "added"


def test_run_returns_the_status_of_the_child_also_when_a_signal_ended_it() -> None:
    assert run([sys.executable, "-c", "raise SystemExit(7)"]) == 7
    suicide = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run([sys.executable, "-c", suicide]) == 128 + signal.SIGKILL


def test_the_stamp_names_level_and_locks(environment: RecordingEnvironment) -> None:
    environment.ensure("worker")
    stamp = json.loads(environment.stamp.read_text())
    assert stamp == {"level": "worker", "fingerprint": environment.fingerprint()}
