"""A Slurm cluster on this machine: its controller, and two nodes that are two slurmd."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from tests.engines.nodes import Daemon, kill_all, need, ready
from tests.processes import ROOT, free_port

INSTALL: Final = "apt-get install slurmctld slurmd slurm-client munge"
NODES: Final = ("node1", "node2")
CPUS: Final = 2  # of each node; Slurm counts them, nothing binds them
_CONFIGURATION: Final = """\
ClusterName=xeenet
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldPort={port}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SlurmdTimeout=10
KillWait=10
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
{nodes}
PartitionName=all Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""


class SlurmCluster:
    """The daemons of one cluster."""

    name = "slurm"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: dict[str, Daemon] = {}

    def adapter(self) -> list[str]:
        """Return the words that start the adapter, without its options."""
        words = [sys.executable, "-m", "workers.agent", "fleet", "slurm", "--time-limit", "20"]
        return [*words, "--output", str(self.folder / "job-%A_%a.out")]

    def version(self) -> str:
        return self._call("sinfo", "--version").strip()

    def kill_node(self) -> str:
        """Kill a node with all that runs on it; return its name."""
        victim = NODES[-1]
        jobs = _processes_of(victim, self.variables["SLURM_CONF"])
        stepds = [parent for job in jobs if (parent := _parent(job)) is not None]
        kill_all([*stepds, *jobs])
        self._daemons.pop(victim).kill()
        return victim

    def start(self) -> None:
        folder = self.folder
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        nodes = [
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={free_port()} "
            f"CPUs={CPUS} State=UNKNOWN"
            for node in NODES
        ]
        text = _CONFIGURATION.format(
            user=getpass.getuser(),
            folder=folder,
            port=free_port(),
            nodes="\n".join(nodes),
            names=",".join(NODES),
        )
        (folder / "slurm.conf").write_text(text)
        files = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
        socket = f"--socket={folder}/munge.socket"
        self._start("munged", "munged", "--foreground", "--force", socket, *files)
        ready((folder / "munge.socket").exists, "munged listens", self._logs())
        self._start("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self._start(node, "slurmd", "-D", "-N", node)
        ready(self._is_up, "both nodes are idle", self._logs())

    def stop(self) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            self._call("scancel", f"--user={getpass.getuser()}")
        for name in ("node1", "slurmctld", "munged"):
            if name in self._daemons:
                self._daemons[name].stop()

    def _start(self, name: str, *command: str) -> None:
        self._daemons[name] = Daemon(name, command, self.folder, self.variables)

    def _logs(self) -> list[Path]:
        return [daemon.log for daemon in self._daemons.values()]

    def _is_up(self) -> bool:
        try:
            return self._call("sinfo", "--noheader", "--Node", "--format=%T").split() == [
                "idle"
            ] * len(NODES)
        except subprocess.CalledProcessError:
            return False  # the controller does not answer yet

    def _call(self, *words: str) -> str:
        answer = subprocess.run(
            words,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=True,
        )
        return answer.stdout


@contextlib.contextmanager
def slurm_cluster(folder: Path) -> Iterator[SlurmCluster]:
    """Start a cluster, and stop it after the block. Raises `NotHere`."""
    need(("munged", "slurmctld", "slurmd", "sbatch", "squeue"), INSTALL)
    folder.mkdir(mode=0o755)
    cluster = SlurmCluster(folder)
    cluster.variables["PYTHONPATH"] = str(ROOT)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _processes_of(node: str, configuration: str) -> list[psutil.Process]:
    """Return what jobs of this cluster run on a node."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            variables = process.environ()
            is_ours = variables.get("SLURM_CONF") == configuration
            if is_ours and variables.get("SLURMD_NODENAME") == node:
                found.append(process)
    return found


def _parent(process: psutil.Process) -> psutil.Process | None:
    """Return the slurmstepd above a job's process, if that is its parent."""
    with contextlib.suppress(psutil.Error):
        parent = process.parent()
        if parent is not None and "slurmstepd" in " ".join([parent.name(), *parent.cmdline()]):
            return parent
    return None
