"""tests.postgres: where it finds the server, and that it leaves nothing of a cluster behind."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import postgres
from tests.processes import ROOT

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
    folders = postgres.binary_folders(search_path=str(links), patterns=[pattern])
    assert folders[:3] == [real, new, old]


def test_a_folder_without_the_server_itself_is_no_installation(tmp_path: Path) -> None:
    client_only = fake_installation(tmp_path / "16" / "bin")
    (client_only / "postgres").unlink()
    folders = postgres.binary_folders(search_path="", patterns=[str(tmp_path / "*" / "bin")])
    assert client_only not in folders


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
    # A short name, because the path of a socket is limited; unique, because others may test here.
    short = Path("/tmp") / f"xn-{os.getpid()}"
    short.mkdir()
    short.chmod(0o755)
    try:
        answer = run_under_postgres(sys.executable, "-c", query, TMPDIR=str(short))
        if answer.returncode == postgres.EXIT_UNAVAILABLE:
            pytest.skip(answer.stderr.strip())
        assert answer.returncode == 9, answer.stderr
        assert answer.stdout.splitlines()[-1] == "42"
        assert list(short.iterdir()) == []
    finally:
        shutil.rmtree(short)


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
