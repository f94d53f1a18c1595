"""`xeenet-worker service`: installs what it showed, changes nothing twice, and undoes all of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from workers.agent import cli, exits
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_OK, EXIT_STATE_FOLDER, EXIT_USAGE
from workers.agent.service import apply, command
from workers.agent.service.plan import Kind, Plan, Request, plan_for
from workers.agent.service.program import this_program
from workers.agent.service.record import RECORD_FILE, read_record
from workers.agent.service.supervised import keep_running, supervised_command
from workers.agent.state import Credentials, StateFolder

ENABLE = "systemctl --user enable --now xeenet-worker.service"
RESTART = "systemctl --user restart xeenet-worker.service"
DISABLE = "systemctl --user disable --now xeenet-worker.service"


class System:
    """Notes the commands that would change the machine, and lets some of them fail."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.failing = ""

    def run(self, words: Sequence[str]) -> str:
        self.commands.append(" ".join(words))
        return "no bus" if self.failing and self.failing in self.commands[-1] else ""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    for name in ("XDG_CONFIG_HOME", "XEENET_WORKER_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    system = System()
    monkeypatch.setattr(apply, "run_command", system.run)
    monkeypatch.setattr(command, "_has_systemd", lambda: True)
    return system


@pytest.fixture
def state(home: Path) -> Path:
    folder = home / "state"
    StateFolder(folder).store_credentials(Credentials("https://lab.test", "xw_1", "attic"))
    return folder


def tree(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_relative_to(folder / "state")
    )


def plan(home: Path, **fields: Any) -> Plan:
    state = home / "state"
    values = {"kind": Kind.SYSTEMD, "program": this_program(state), "state": state, "home": home}
    return plan_for(Request(user="ada", **(values | fields)))  # type: ignore[arg-type]


def service(state: Path, *words: str) -> int:
    own, dashes, agent = " ".join(words).partition(" -- ")
    after = ["--", *agent.split()] if dashes else []
    return cli.main(["service", *own.split(), "--state-dir", str(state), *after])


def test_install_twice_and_remove_leave_the_home_as_it_was(
    home: Path, state: Path, system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".config").mkdir()
    before = tree(home)
    assert service(state, "install", "--print") == EXIT_OK
    planned = capsys.readouterr().out
    assert (tree(home), system.commands) == (before, [])

    with StateFolder(state).locked():  # an agent works here
        assert service(state, "install", "--yes") == EXIT_OK
        assert service(state) == EXIT_OK
    unit = home / ".config/systemd/user/xeenet-worker.service"
    for line in unit.read_text().splitlines():
        assert line in planned
    assert system.commands == ["systemctl --user daemon-reload", ENABLE]
    written = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    record = (state / RECORD_FILE).read_text()

    assert service(state, "install", "--yes") == EXIT_OK
    assert "nothing was changed" in capsys.readouterr().out
    assert RESTART not in system.commands
    assert (
        written.items()
        >= {
            path: path.stat().st_mtime_ns
            for path in (home / ".config").rglob("*")
            if path.is_file()
        }.items()
    )
    assert (state / RECORD_FILE).read_text() == record

    system.commands.clear()
    assert service(state, "remove", "--yes") == EXIT_OK
    assert system.commands == [DISABLE, "systemctl --user daemon-reload"]
    assert tree(home) == before
    assert not (state / RECORD_FILE).exists()
    assert service(state, "remove") == EXIT_OK  # there is nothing, so nobody is asked


def test_other_options_restart_it_and_an_unwanted_helper_goes(
    home: Path, state: Path, system: System
) -> None:
    assert service(state, "install", "--yes") == EXIT_OK
    words = ["install", "--yes", "--no-presence", "--", "--drain-seconds", "90"]
    assert service(state, *words) == EXIT_OK
    assert system.commands[-1] == RESTART
    unit = home / ".config/systemd/user/xeenet-worker.service"
    assert "TimeoutStopSec=150" in unit.read_text()
    assert not (home / ".config/autostart/xeenet-worker-presence.desktop").exists()
    assert service(state, "remove", "--yes") == EXIT_OK
    assert tree(home) == []


def test_a_file_of_somebody_else_is_neither_replaced_nor_removed(
    home: Path, state: Path, system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = home / ".config/systemd/user/xeenet-worker.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    assert service(state, "install", "--yes") == EXIT_CANNOT_RUN
    assert "was not written by" in capsys.readouterr().err
    assert service(state, "remove", "--yes") == EXIT_OK
    assert unit.read_text() == "[Service]\nExecStart=/bin/true\n"
    other = plan(home, state=home / "other", presence=False)
    unit.write_text(other.files[0].text)  # the service of a second worker
    assert service(state, "install", "--yes") == EXIT_CANNOT_RUN
    assert "another worker" in capsys.readouterr().err
    assert service(state, "install", "--yes", "--name", "attic") == EXIT_OK
    assert service(state, "install", "--yes", "--name", "cellar") == EXIT_CANNOT_RUN
    assert "installed as 'attic'" in capsys.readouterr().err
    unit.with_name("attic.service").write_text("# mine\n")
    assert service(state, "remove", "--print") == EXIT_OK
    assert "attic.service (changed since it was written)" in capsys.readouterr().out
    assert system.commands.count("systemctl --user enable --now attic.service") == 1


def test_lingering_is_taken_back_only_where_this_installation_asked_for_it(
    home: Path, state: Path, system: System
) -> None:
    assert service(state, "install", "--yes") == EXIT_OK
    assert apply.LINGER_ON not in [tuple(words.split()) for words in system.commands]
    assert service(state, "install", "--yes", "--linger") == EXIT_OK
    assert service(state, "install", "--yes", "--linger") == EXIT_OK
    assert system.commands.count("loginctl enable-linger") == 1
    assert service(state, "remove", "--yes") == EXIT_OK
    assert system.commands[-1] == "loginctl disable-linger"


def test_a_user_manager_that_is_away_says_what_to_do_and_remove_works_all_the_same(
    home: Path, state: Path, system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    system.failing = "systemctl"
    assert service(state, "install", "--yes") == EXIT_CANNOT_RUN
    assert "no bus\nThe files are written" in capsys.readouterr().err
    assert service(state, "remove", "--yes") == EXIT_OK
    assert tree(home) == []


def test_what_no_service_can_do_is_refused_before_anything_is_written(
    home: Path, state: Path, system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, why in (
        ("install --yes -- --token xw_1 --server http://a", "does not belong"),
        ("install --yes -- --once", "until it is stopped"),
        ("install --yes --name ../evil", "small letters"),
    ):
        assert service(state, *words.split()) == EXIT_CANNOT_RUN
        assert why in capsys.readouterr().err
    assert service(state, "install") == EXIT_USAGE  # nobody can be asked here
    (state / "credentials.json").unlink()
    assert service(state, "install", "--yes") == EXIT_CANNOT_RUN
    assert "not enrolled" in capsys.readouterr().err
    (state / RECORD_FILE).write_text("{")
    assert service(state, "remove", "--yes") == EXIT_CANNOT_RUN
    assert (tree(home), system.commands) == ([], [])


def test_a_removal_asks_no_more_than_the_record_says(home: Path, state: Path) -> None:
    system, made = System(), plan(home)
    apply.install(made, state, system.run)
    record = read_record(state)
    assert record is not None
    os.mkfifo(home / ".config/autostart/of-somebody-else")
    apply.remove(made, record, state, system.run)
    assert tree(home) == [".config", ".config/autostart", ".config/autostart/of-somebody-else"]


# Below a supervisor that knows little.


def test_a_failure_that_a_restart_does_not_mend_ends_as_a_success(tmp_path: Path) -> None:
    for code in range(8):
        given: list[Sequence[str]] = []

        def run(words: Sequence[str], code: int = code, given: list[Any] = given) -> int:
            given.append(list(words))
            return code

        answer = supervised_command(["--state-dir", str(tmp_path), "--log-level", "error"], run)
        assert answer == (0 if code in {0, 2, 4, 5} else code)
        assert given == [["--log", "--state-dir", str(tmp_path), "--log-level", "error"]]
    assert EXIT_STATE_FOLDER not in exits.FINAL_EXITS  # another agent may have ended by then


@pytest.mark.parametrize("last", [0, 4])
def test_windows_agent_is_started_again_more_slowly_each_time(last: int) -> None:
    codes, waits, clock = iter([1, 3, 1, -9, 1, last]), list[float](), [0.0]
    lengths = iter([1.0, 1.0, 1.0, 900.0, 1.0, 1.0])

    def run() -> int:
        clock[0] += next(lengths)
        return next(codes)

    wait: Callable[[float], None] = waits.append
    assert keep_running(run, wait=wait, seconds=lambda: clock[0]) == last
    assert waits == [10.0, 20.0, 40.0, 10.0, 20.0]
