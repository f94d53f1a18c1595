"""The agent keeps its tokens out of its arguments and of what other processes can read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.agent.runs import linux_only
from tests.agent.server import running_server, wait_until
from tests.processes import ROOT
from workers.agent import cli
from workers.agent.enrolment import find_credentials
from workers.agent.options import parser
from workers.agent.running.hardware import Machine
from workers.agent.secrecy import ENROLMENT_VARIABLE, TOKEN_VARIABLE, split_secrets, take_secret
from workers.agent.state import StateFolder

NOBODY = 65534


@pytest.mark.parametrize(
    ("arguments", "kept", "secrets"),
    [
        (["-m", "x", "--once"], ["-m", "x", "--once"], {}),
        (["--token", "xw_1", "--once"], ["--once"], {TOKEN_VARIABLE: "xw_1"}),
        (["--token=xw_1"], [], {TOKEN_VARIABLE: "xw_1"}),
        (["--once", "--enrol", "xe_1"], ["--once"], {ENROLMENT_VARIABLE: "xe_1"}),
        (["--token"], ["--token"], {}),  # argparse says what is missing
    ],
)
def test_tokens_are_told_apart_from_the_other_arguments(
    arguments: list[str], kept: list[str], secrets: dict[str, str]
) -> None:
    assert split_secrets(arguments) == (kept, secrets)


def test_a_secret_is_taken_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "xw_1")
    assert take_secret(TOKEN_VARIABLE) == "xw_1"
    assert take_secret(TOKEN_VARIABLE) == ""


@pytest.mark.skipif(os.name != "posix", reason="Windows shows arguments to the same user only")
def test_a_token_given_as_an_argument_leaves_the_command_line_before_anything_runs(
    tmp_path: Path,
) -> None:
    with running_server() as server:
        command = [sys.executable, "-m", "workers.agent", "--server", server.url]
        command += ["--state-dir", str(tmp_path), "--token", "xw_secret", "--isolation", "T0"]
        agent = psutil.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:

            def is_clean() -> bool:
                line = agent.cmdline()  # empty for a moment during the restart
                return "--isolation" in line and "xw_secret" not in line

            wait_until(is_clean, 60)
            assert agent.is_running()
        finally:
            agent.kill()
            agent.wait()


# Becomes a user without rights, as an agent should be, and waits while a secret can be read.
KEEPER = """
import ctypes, os, sys, time
from workers.agent import cli
from workers.agent.enrolment import find_credentials
from workers.agent.options import parser
from workers.agent.running.hardware import Machine
from workers.agent.secrecy import close_own_process
if os.getuid() == 0:
    os.setuid({nobody})
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # like any program that was started as this user
if {closed}:
    assert close_own_process()
print("ready", flush=True)
time.sleep(60)
"""
READER = """
import os
if os.getuid() == 0:
    os.setuid({nobody})
try:
    print("xw_secret" in open("/proc/{pid}/environ").read())
except PermissionError:
    print("refused")
"""


@linux_only
@pytest.mark.parametrize(("closed", "answer"), [(True, "refused"), (False, "True")])
def test_a_process_of_the_same_user_cannot_read_the_agents_environment(
    closed: bool, answer: str
) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER.format(nobody=NOBODY, closed=closed)],
        cwd=ROOT,
        env={**os.environ, TOKEN_VARIABLE: "xw_secret"},
        stdout=subprocess.PIPE,
    )
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"ready\n"
        reader = READER.format(nobody=NOBODY, pid=keeper.pid)
        result = subprocess.run([sys.executable, "-c", reader], capture_output=True, check=True)
        assert result.stdout.decode().strip() == answer
    finally:
        keeper.kill()
        keeper.wait()
        if keeper.stdout is not None:
            keeper.stdout.close()


def test_the_agent_closes_its_process_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(cli, "close_own_process", lambda: closed.append(True))
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert closed == [True]


def test_a_token_in_the_environment_is_gone_before_a_script_can_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "xw_secret")
    options = parser().parse_args(["--server", "http://127.0.0.1:9"])
    credentials = find_credentials(options, StateFolder(tmp_path), Machine({}))
    assert credentials.token == "xw_secret"
    assert TOKEN_VARIABLE not in os.environ


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_the_state_folder_is_closed_to_other_users(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    StateFolder(tmp_path / "state")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
