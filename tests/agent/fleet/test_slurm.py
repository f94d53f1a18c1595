"""`xeenet-worker fleet slurm` against a stub of `sbatch` and `squeue`, both real processes.

`make engines` runs it against Slurm itself.
"""

from __future__ import annotations

import os
import shlex
import sys
import threading
from pathlib import Path

import pytest

from tests.agent.fleet.demand_server import FLEET_TOKEN, DemandServer, demand, token_file
from tests.agent.server import Reply, error, wait_until
from workers.agent import cli
from workers.agent.connection.client import Client
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_NOT_AUTHENTICATED, EXIT_OK, EXIT_USAGE
from workers.agent.fleet import rounds, slurm
from workers.agent.fleet.demand import Jobs
from workers.agent.fleet.rounds import Rules, run_rounds
from workers.protocol import FLEET_DEMAND_PATH, ErrorCode

# The stubs keep their queue in a file: one line per job, with its name and state.
SBATCH = """#!/bin/sh
cd {folder} || exit 1
printf '%s\\n' "$@" > argv
env > environment
cat > script
[ -f refusal ] && {{ cat refusal >&2; exit 1; }}
for word in "$@"; do
  case "$word" in
    --job-name=*) name=${{word#*=}} ;;
    --array=1-*) count=${{word#*-}}; count=${{count#*-}}; count=${{count#*-}} ;;
  esac
done
while [ "$count" -gt 0 ]; do echo "$name PENDING" >> queue; count=$((count - 1)); done
echo "17;cluster"
"""
SQUEUE = """#!/bin/sh
cd {folder} || exit 1
printf '%s\\n' "$@" > squeue-argv
[ -f squeue-waits ] && sleep 60
for word in "$@"; do case "$word" in --name=*) name=${{word#*=}} ;; esac; done
touch queue
sed -n "s/^$name //p" queue
"""


class Cluster:
    """The stubs and what they were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue = folder / "queue"
        self.programs = folder / "bin"
        self.programs.mkdir(parents=True)
        for name, text in {"sbatch": SBATCH, "squeue": SQUEUE}.items():
            program = self.programs / name
            program.write_text(text.format(folder=shlex.quote(str(folder))))
            program.chmod(0o755)

    def states(self) -> list[str]:
        return [line.split()[1] for line in self.queue.read_text().splitlines()]

    def set_states(self, *states: str) -> None:
        name = self.queue.read_text().split()[0]
        self.queue.write_text("".join(f"{name} {state}\n" for state in states))

    def told(self, file: str) -> list[str]:
        return (self.folder / file).read_text().splitlines()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster(tmp_path / "slurm cluster")  # a space, so that quoting counts
    monkeypatch.setenv("PATH", str(cluster.programs), prepend=os.pathsep)
    return cluster


def fleet(server: DemandServer, tmp_path: Path, *words: str) -> int:
    command = ["fleet", "slurm", "--server", server.url, "--once"]
    return cli.main([*command, "--fleet-token-file", str(token_file(tmp_path)), *words])


def test_one_array_of_what_is_missing(
    server: DemandServer, cluster: Cluster, tmp_path: Path
) -> None:
    server.demand = demand(claimable=3)
    words = ["--time-limit", "30", "--cpus", "4", "--slots", "2", "--gpus", "1"]
    words += ["--partition", "long", "--sbatch=--constraint=a100"]
    assert fleet(server, tmp_path, *words, "--memory-mib", "2000", "--", "--isolation", "T0") == 0
    argv = cluster.told("argv")
    assert {"--array=1-2", "--ntasks=1", "--cpus-per-task=4", "--time=30"} <= set(argv)
    assert {"--gres=gpu:1", "--mem=2000M", "--partition=long", "--constraint=a100"} <= set(argv)
    assert cluster.states() == ["PENDING", "PENDING"]
    *_, start = cluster.told("script")
    assert start.startswith(f"exec {sys.executable} ")
    agent = shlex.split(start)
    assert agent[-2:] == ["--fleet-token-file", str(tmp_path / "fleet-token")]
    for option in ("--ephemeral", "--no-simulate"):
        assert option in agent
    for option, value in {
        "--server": server.url,
        "--slots": "2",
        "--threads": "2",
        "--max-lifetime": "1740",  # a minute less than the time limit
        "--exit-after-idle": "60",
        "--isolation": "T0",
    }.items():
        assert agent[agent.index(option) + 1] == value


def test_the_token_is_in_no_argument_script_or_environment(
    server: DemandServer, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XEENET_FLEET_TOKEN", "xf_another")
    monkeypatch.setenv("XEENET_WORKER_TOKEN", "xw_of-this-persons-own-worker")
    server.demand = demand(claimable=1)
    assert fleet(server, tmp_path) == EXIT_OK
    handed_on = [line for file in ("argv", "script", "environment") for line in cluster.told(file)]
    assert len(handed_on) > 10
    assert not [line for line in handed_on if "xf_" in line or "xw_" in line]
    assert server.tokens == [f"Bearer {FLEET_TOKEN}"]


def test_jobs_that_wait_or_run_are_not_submitted_again_and_none_is_cancelled(
    server: DemandServer, cluster: Cluster, tmp_path: Path
) -> None:
    server.demand = demand(claimable=4)
    fleet(server, tmp_path)
    fleet(server, tmp_path)
    assert len(cluster.states()) == 4
    # One ended, one waits for its node, two run, of which one is enrolled.
    cluster.set_states("COMPLETING", "CONFIGURING", "RUNNING", "RUNNING")
    server.demand = demand(claimable=3, leased=1, live=1)
    fleet(server, tmp_path)
    assert cluster.states()[4:] == ["PENDING"]
    server.demand = demand()
    fleet(server, tmp_path)
    assert len(cluster.states()) == 5
    assert sorted(path.name for path in cluster.programs.iterdir()) == ["sbatch", "squeue"]


def test_fleets_with_other_tokens_are_counted_apart(
    server: DemandServer, cluster: Cluster, tmp_path: Path
) -> None:
    server.demand = demand(claimable=2)
    cluster.queue.write_text("xeenet-other RUNNING\n" * 5)
    assert fleet(server, tmp_path) == EXIT_OK
    assert len(cluster.states()) == 7
    names = {line.split()[0] for line in cluster.queue.read_text().splitlines()}
    assert len(names) == 2


def test_a_dry_run_prints_the_command_and_submits_nothing(
    server: DemandServer, cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.demand = demand(claimable=3)
    assert fleet(server, tmp_path, "--dry-run") == EXIT_OK
    printed = capsys.readouterr().out
    assert printed.startswith("sbatch --job-name=xeenet-")
    assert "--array=1-3" in printed
    assert "--ephemeral" in printed
    assert cluster.queue.read_text() == ""


def test_one_round_submits_no_more_than_was_allowed(
    server: DemandServer, cluster: Cluster, tmp_path: Path
) -> None:
    server.demand = demand(claimable=40)
    fleet(server, tmp_path, "--most", "5")
    assert len(cluster.states()) == 5


def test_without_slurm_it_says_where_to_start_it(
    server: DemandServer,
    cluster: Cluster,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fleet(server, tmp_path) == EXIT_CANNOT_RUN
    assert "There is no squeue here" in caplog.text


def test_a_refusal_is_told_in_slurms_words(
    server: DemandServer, cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.demand = demand(claimable=1)
    (cluster.folder / "refusal").write_text("sbatch: error: invalid partition specified: gpu\n")
    assert fleet(server, tmp_path) == EXIT_CANNOT_RUN
    assert "sbatch refused (status 1): sbatch: error: invalid partition" in caplog.text


def test_a_command_that_does_not_answer_is_given_up(
    server: DemandServer,
    cluster: Cluster,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slurm, "CALL_SECONDS", 0.5)
    (cluster.folder / "squeue-waits").touch()
    assert fleet(server, tmp_path) == EXIT_CANNOT_RUN
    assert "squeue did not answer within" in caplog.text


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (
            error(401, ErrorCode.NOT_AUTHENTICATED, "Unknown token."),
            EXIT_NOT_AUTHENTICATED,
            "does not take the fleet token",
        ),
        (error(404, ErrorCode.NOT_FOUND, "Nothing."), EXIT_NOT_AUTHENTICATED, "knows no fleets"),
        (Reply(200, {"wanted_workers": -1}), EXIT_CANNOT_RUN, "does not answer like a XeeNet"),
        (Reply(200, {**demand(), "needs": [{}]}), EXIT_CANNOT_RUN, "an object with a device"),
    ],
)
def test_an_answer_of_the_server_that_is_no_demand(
    server: DemandServer,
    cluster: Cluster,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    reply: Reply,
    code: int,
    words: str,
) -> None:
    server.scripted[FLEET_DEMAND_PATH].append(reply)
    assert fleet(server, tmp_path) == code
    assert words in caplog.text


def test_a_token_that_others_can_read_is_refused(
    server: DemandServer, cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = token_file(tmp_path)
    file.chmod(0o644)
    command = ["fleet", "slurm", "--once", "--server", server.url]
    assert cli.main([*command, "--fleet-token-file", str(file)]) == EXIT_USAGE
    assert f"chmod 600 {file}" in capsys.readouterr().err


@pytest.mark.parametrize("token", ["", "xw_a-workers-token", "xf_two words"])
def test_what_is_no_fleet_token_is_refused(
    server: DemandServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    file = token_file(tmp_path)
    file.write_text(token)
    command = ["fleet", "slurm", "--once", "--server", server.url]
    assert cli.main([*command, "--fleet-token-file", str(file)]) == EXIT_USAGE
    assert "token" in capsys.readouterr().err


class Faulty:
    """An engine that fails at first; `submitted` has the counts of its submissions."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.submitted: list[int] = []

    def jobs(self) -> Jobs:
        if self.failures:
            self.failures -= 1
            raise slurm.EngineError("The controller does not answer.")
        return Jobs(0, sum(self.submitted))

    def submit(self, count: int) -> str:
        self.submitted.append(count)
        return "job 1"

    def described(self, count: int) -> str:
        return ""


def test_the_loop_tries_again_after_an_error_until_it_is_ended(
    server: DemandServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.demand = demand(claimable=2)
    server.scripted[FLEET_DEMAND_PATH].append(Reply(503, {}))
    engine, client, ends = Faulty(failures=2), Client(server.url, FLEET_TOKEN), threading.Event()
    codes: list[int] = []
    rules = Rules(slots=1, device="", most=10, dry_run=False)
    loop = threading.Thread(
        target=lambda: codes.append(run_rounds(client, engine, rules, 0.05, ends))
    )
    loop.start()
    wait_until(lambda: len(server.tokens) >= 6)
    ends.set()
    loop.join()
    client.close()
    assert codes == [EXIT_OK]
    assert engine.submitted == [2]
    assert caplog.text.count("The controller does not answer. Trying again") == 2


def test_a_revoked_token_ends_the_loop(server: DemandServer) -> None:
    client = Client(server.url, "xf_revoked")
    rules = Rules(slots=1, device="", most=10, dry_run=False)
    code = run_rounds(client, Faulty(0), rules, 3600, threading.Event())
    client.close()
    assert code == EXIT_NOT_AUTHENTICATED


class Failing(Faulty):
    """An engine whose jobs end at once."""

    def jobs(self) -> Jobs:
        return Jobs(0, 0)


def test_rounds_get_rarer_while_all_jobs_end_without_a_worker(
    server: DemandServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.demand = demand(claimable=1)
    client, engine = Client(server.url, FLEET_TOKEN), Failing(0)
    rules = Rules(slots=1, device="", most=10, dry_run=False)
    before, wait, waits = None, 30.0, []
    for _ in range(8):
        now = rounds.one_round(client, engine, rules)
        wait = rounds.next_wait(before, now, 30.0, wait)
        waits.append(wait)
        before = now
    client.close()
    assert waits == [30, 60, 120, 240, 480, 600, 600, 600]
    assert "read their output" in caplog.text
