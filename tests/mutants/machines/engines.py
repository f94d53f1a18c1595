"""Guards of the adapters that start agents on an engine: no job twice, and no token in sight."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_TESTS: Final = "tests/agent/fleet"

ENGINES: Final = (
    Mutant(
        "fleet: a job whose agent has not enrolled yet is submitted again",
        "workers/agent/fleet/demand.py",
        "max(wanted.live, jobs.running)",
        "wanted.live",
        (f"{_TESTS}/test_demand.py", "-k", "what_is_missing"),
    ),
    Mutant(
        "fleet: sbatch hands this person's tokens on to the jobs",
        "workers/agent/fleet/slurm.py",
        " if name not in SECRET_VARIABLES}",
        "}",
        (f"{_TESTS}/test_slurm.py", "-k", "no_argument_script_or_environment"),
    ),
    Mutant(
        "fleet: a token that others can read is used",
        "workers/agent/ephemeral/token.py",
        "stat.S_IMODE(mode) & 0o077",
        "stat.S_IMODE(mode) & 0",
        (f"{_TESTS}/test_slurm.py", "-k", "others_can_read"),
    ),
    Mutant(
        "fleet: jobs that end at once are submitted at full speed",
        "workers/agent/fleet/rounds.py",
        "    if not is_lost or now.wanted.live",
        "    if True or now.wanted.live",
        (f"{_TESTS}/test_slurm.py", "-k", "rounds_get_rarer"),
    ),
    Mutant(
        "fleet: the agent outlives the Ray actor that started it",
        "workers/agent/fleet/ray_actor.py",
        "    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)\n",
        "",
        (f"{_TESTS}/test_ray.py", "-k", "actor_is_killed"),
    ),
)
