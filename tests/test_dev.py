"""dev.py: what it says, when it installs, how it sums up; without touching the real .venv."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from devtools import cli, locks, suite
from devtools.environment import LEVELS, Environment, SetupError, child_variables, run
from devtools.suite import Outcome
from tests import postgres

ROOT = Path(__file__).resolve().parent.parent


def dev(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "dev.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | variables,
    )


class RecordingEnvironment(Environment):
    """An environment in an empty folder whose installs only count (a real one takes minutes)."""

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


# --- Commands -------------------------------------------------------------------------------------


def test_help_lists_every_command_and_so_does_no_command() -> None:
    answer = dev("help")
    assert answer.returncode == 0
    assert all(f"  {name} " in answer.stdout for name in cli.COMMANDS)
    assert dev().stdout == answer.stdout


def test_the_makefile_has_exactly_the_commands_of_dev_py() -> None:
    line = next(
        line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("COMMANDS")
    )
    assert set(line.partition(":=")[2].split()) == set(cli.COMMANDS)


def test_an_unknown_command_gets_one_line_that_names_the_known_ones() -> None:
    answer = dev("demonstrate")
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert "'demonstrate'" in answer.stderr
    assert "demo, test" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("setup", "everything"), "worker, runtime, dev"),
        (("setup", "dev", "runtime"), "worker, runtime, dev"),
    ],
)
def test_wrong_arguments_get_one_line(arguments: tuple[str, ...], words: str) -> None:
    answer = dev(*arguments)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert words in answer.stderr


def test_a_too_old_python_gets_one_clear_line() -> None:
    pretend = "import sys, runpy; sys.version_info = (3, 8, 0); runpy.run_path('dev.py')"
    answer = subprocess.run(
        [sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("XeeNet needs Python 3.11 or newer, this is 3.8.")
    assert len(answer.stderr.splitlines()) == 1


def test_dev_py_keeps_to_syntax_that_a_too_old_python_can_read() -> None:
    tree = ast.parse((ROOT / "dev.py").read_text(), feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]


# --- Set-up ---------------------------------------------------------------------------------------


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


# --- Locks ----------------------------------------------------------------------------------------


def test_a_lock_forgets_the_local_build_and_the_comments() -> None:
    text = "# made by a tool\ndjango==5.2.19\n    # via xeenet\ntorch==2.13.0+cpu\n"
    body = [line for line in locks.tidy(text, "worker").splitlines() if not line.startswith("#")]
    assert body == ["django==5.2.19", "torch==2.13.0"]


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://example.org/simple",
        "--find-links wheels",
        "nvidia-cublas==13.0.1",
        "triton==3.7",
        "cuda-bindings==13.0",
        "torch @ file:///tmp/torch.whl",
    ],
)
def test_a_lock_refuses_what_belongs_to_one_machine(line: str) -> None:
    with pytest.raises(SetupError, match="this machine only"):
        locks.tidy(f"django==5.2.19\n{line}\n", "worker")


def test_the_locks_of_this_repository_agree_and_hold_torch_plainly() -> None:
    pins = {}
    for level in LEVELS:
        text = (ROOT / "requirements" / f"{level}.txt").read_text()
        assert locks.tidy(text, level) == text
        pins[level] = {line for line in text.splitlines() if not line.startswith("#")}
    assert "torch==2.13.0" in pins["worker"]
    assert pins["worker"] < pins["runtime"] < pins["dev"]


# --- The two passes -------------------------------------------------------------------------------


def test_counts_come_from_the_report_with_errors_as_failures(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite tests="10" failures="2" errors="1" skipped="3"/></testsuites>'
    )
    assert suite.read_counts(report) == (4, 3, 3)
    assert suite.read_counts(tmp_path / "missing.xml") == (0, 0, 0)


SQLITE = Outcome("sqlite", 0, passed=5)
POSTGRESQL = Outcome("postgresql", 0, passed=3)
NOT_RUN = Outcome("postgresql", postgres.EXIT_UNAVAILABLE)
NOTHING_LEFT = Outcome("postgresql", suite.PYTEST_NOTHING_COLLECTED)


@pytest.mark.parametrize(
    ("outcomes", "in_ci", "status"),
    [
        ([SQLITE, POSTGRESQL], True, 0),
        ([SQLITE, NOT_RUN], False, 0),
        ([SQLITE, NOT_RUN], True, 1),
        ([SQLITE, NOTHING_LEFT], True, 0),
        ([Outcome("sqlite", 5), NOTHING_LEFT], False, 1),
        ([Outcome("sqlite", 1, passed=4, failed=1), POSTGRESQL], False, 1),
        ([SQLITE, Outcome("postgresql", 3)], False, 1),
    ],
)
def test_the_status_of_the_suite(outcomes: list[Outcome], in_ci: bool, status: int) -> None:
    assert suite.exit_status(outcomes, in_ci) == status


def test_a_pass_that_was_not_run_says_so_loudly() -> None:
    assert "NOT RUN" in NOT_RUN.line()
    assert Outcome("sqlite", 0, 5, 0, 1, 12.4).line() == (
        "SQLite: 5 passed, 0 failed, 1 skipped in 12 s"
    )
    assert "status 3" in Outcome("postgresql", 3).line()


def test_one_database_can_be_chosen() -> None:
    assert suite.chosen_databases(None) == ("sqlite", "postgresql")
    assert suite.chosen_databases("postgresql") == ("postgresql",)
    with pytest.raises(SetupError, match="'mysql'; it can be sqlite or postgresql"):
        suite.chosen_databases("mysql")


# --- The private PostgreSQL -----------------------------------------------------------------------


needs_unix_sockets = pytest.mark.skipif(
    os.name != "posix", reason="a private cluster is reached through a Unix socket"
)


def fake_installation(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_postgres_on_the_path_comes_first_then_the_newest_installation(tmp_path: Path) -> None:
    real = fake_installation(tmp_path / "opt" / "pg" / "bin")
    links = tmp_path / "links"
    links.mkdir()
    (links / "initdb").symlink_to(real / "initdb")
    old = fake_installation(tmp_path / "lib" / "postgresql" / "9" / "bin")
    new = fake_installation(tmp_path / "lib" / "postgresql" / "17" / "bin")
    pattern = str(tmp_path / "lib" / "postgresql" / "*" / "bin")
    found = postgres.binary_folders(search_path=str(links), patterns=[pattern])
    assert found[:3] == [real, new, old]


def test_a_folder_without_the_server_itself_is_no_installation(tmp_path: Path) -> None:
    client_only = fake_installation(tmp_path / "16" / "bin")
    (client_only / "postgres").unlink()
    found = postgres.binary_folders(search_path="", patterns=[str(tmp_path / "*" / "bin")])
    assert client_only not in found


def run_under_postgres(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "XEENET_TEST_DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-m", "tests.postgres", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment | variables,
    )


def test_a_given_server_is_taken_as_it_is() -> None:
    show = "import os; print(os.environ['XEENET_TEST_DATABASE_URL'])"
    url = "postgresql://me@db.example.org/tests"
    answer = run_under_postgres(sys.executable, "-c", show, XEENET_TEST_DATABASE_URL=url)
    assert answer.stdout.strip() == url


@needs_unix_sockets
def test_the_status_of_the_command_comes_back_and_the_cluster_goes_away(tmp_path: Path) -> None:
    query = (
        "import os, psycopg; "
        "url = os.environ['XEENET_TEST_DATABASE_URL'].replace('/xeenet?', '/postgres?'); "
        "print(psycopg.connect(url).execute('select 6 * 7').fetchone()[0]); "
        "raise SystemExit(9)"
    )
    # A short folder of its own: a socket's path has little room, and others may test here too.
    with_room = Path("/tmp") / f"xn-{os.getpid()}"
    with_room.mkdir()
    with_room.chmod(0o755)
    try:
        answer = run_under_postgres(sys.executable, "-c", query, TMPDIR=str(with_room))
        if answer.returncode == postgres.EXIT_UNAVAILABLE:
            pytest.skip(answer.stderr.strip())
        assert answer.returncode == 9, answer.stderr
        assert answer.stdout.splitlines()[-1] == "42"
        assert list(with_room.iterdir()) == []
    finally:
        shutil.rmtree(with_room)


@needs_unix_sockets
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_stops_the_server_and_removes_its_folder(name: str) -> None:
    number = getattr(signal, name)
    wait = (
        "import os, time; print(os.environ['XEENET_TEST_DATABASE_URL'], flush=True); time.sleep(60)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "XEENET_TEST_DATABASE_URL"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.postgres", sys.executable, "-c", wait],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = next((line for line in process.stdout if line.startswith("postgresql://")), None)
        if url is None:
            pytest.skip(process.stderr.read().strip())
        folder = Path(url.strip().partition("host=")[2])
        server = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_no_command_is_a_usage_error() -> None:
    answer = run_under_postgres()
    assert answer.returncode == 2
    assert "usage" in answer.stderr


def test_the_stamp_names_level_and_locks(environment: RecordingEnvironment) -> None:
    environment.ensure("worker")
    stamp = json.loads(environment.stamp.read_text())
    assert stamp == {"level": "worker", "fingerprint": environment.fingerprint()}
