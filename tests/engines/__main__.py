"""``make engines``: Slurm and Ray run agents for a real server, and a node of each is killed.

Slurm comes from the distribution (controller and two slurmd on this machine, without systemd), Ray
and the validator of manifests from pip, in an environment made for it. Each engine gets a campaign
of 20 tasks and a fleet token, and loses one of its two nodes with all that runs there. At the end
each task must have one result. The tables are the adapters' own logs.

Exit status: 0 if nothing was lost, 1 if something was, or if an engine is not here.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tests.engines.kubernetes import check_manifests
from tests.engines.lab import FleetLab
from tests.engines.nodes import NotHere
from tests.engines.ray import ray_cluster
from tests.engines.slurm import slurm_cluster
from tests.engines.trial import Cluster, Trial

ENGINES = ("slurm", "ray", "kubernetes")


def main(arguments: Sequence[str]) -> int:
    """Run all trials, print their tables, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make engines", allow_abbrev=False)
    add = parser.add_argument
    add("--only", choices=ENGINES, action="append", help="one of them (default: all)")
    add("--tasks", type=int, default=20, metavar="N", help="of each engine (default 20)")
    add("--budget", type=float, default=12.0, metavar="SECONDS", help="of each task (default 12)")
    help_text = "a Python with Ray and what the agent needs (default: a venv is made for it)"
    add("--ray-python", type=Path, metavar="PATH", help=help_text)
    options = parser.parse_args(arguments)
    # Through every `finally`: the daemons of an engine must not outlive this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    failures, reports = [], []
    # Short, because paths of sockets may have about 100 characters.
    with tempfile.TemporaryDirectory(prefix="xe-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for engine in options.only or ENGINES:
            print(f"\n{engine}", flush=True)
            try:
                if engine == "kubernetes":
                    failures += check_manifests(folder / engine)
                    continue
                trial = _trial(_cluster(engine, folder, options), folder, options)
                reports.append(trial.report())
                failures += [f"{engine}: {problem}" for problem in trial.problems]
            except NotHere as lacking:
                failures.append(f"{engine} was not tried: {lacking}")
    print("\n".join(reports))
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return int(bool(failures))


def _cluster(
    engine: str, folder: Path, options: argparse.Namespace
) -> Callable[[], AbstractContextManager[Cluster]]:
    if engine == "slurm":
        return lambda: slurm_cluster(folder / engine)
    return lambda: ray_cluster(folder / engine, options.ray_python)


def _trial(
    cluster: Callable[[], AbstractContextManager[Cluster]],
    folder: Path,
    options: argparse.Namespace,
) -> Trial:
    """Serve a campaign, start the engine, and try it."""
    with cluster() as engine:
        home = folder / f"server-of-{engine.name}"
        home.mkdir()
        lab = FleetLab(home)
        with lab.serving(options.tasks, options.budget):
            trial = Trial(engine, lab, options.tasks)
            trial.run()
    return trial


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
