"""``xeenet-worker fleet slurm | ray | kubernetes``.

xeenet-worker fleet slurm --server URL --fleet-token-file FILE --partition cpu --dry-run --once
xeenet-worker fleet ray --server URL --gpus 0.25 --every 60 -- --isolation T1
xeenet-worker fleet kubernetes --server URL --image IMAGE | kubectl apply -f -
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from workers.agent.connection.client import Client, ServerError
from workers.agent.enrolment import warn_if_not_encrypted
from workers.agent.ephemeral.token import fleet_token
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_OK, EXIT_USAGE, StartError
from workers.agent.fleet import kubernetes
from workers.agent.fleet.demand import Jobs, missing, wanted_of
from workers.agent.fleet.engine import END_SECONDS, AgentStart, Engine, threads_for
from workers.agent.fleet.options import parser, split
from workers.agent.fleet.ray_cluster import RayCluster, RayShare
from workers.agent.fleet.rounds import Rules, run_once, run_rounds
from workers.agent.fleet.slurm import MOST_PER_ARRAY, Slurm, SlurmJob
from workers.agent.plain_text import PlainFormatter
from workers.agent.secrecy import close_own_process
from workers.agent.service.program import Program, this_program

log = logging.getLogger("xeenet.fleet")


def fleet_command(words: Sequence[str]) -> int:
    """Start agents as the words after "fleet" say; return the exit code."""
    close_own_process()
    own, agent_words = split(list(words))
    options = parser().parse_args(own)
    _set_up_logging()
    try:
        if options.engine == "kubernetes":
            return _print_manifests(options, agent_words)
        return _run(options, agent_words)
    except StartError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace, agent_words: tuple[str, ...]) -> int:
    token = fleet_token(options.fleet_token_file, private=True)
    warn_if_not_encrypted(options.server)
    name = options.name or _name_of(options.server, token)
    make = _slurm if options.engine == "slurm" else _ray
    engine = make(options, name, token, agent_words)
    most = min(options.most, MOST_PER_ARRAY)
    rules = Rules(options.slots, options.device, most, options.dry_run)
    client = Client(options.server, token)
    try:
        if options.once:
            return run_once(client, engine, rules)
        ends = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ends.set())
        return run_rounds(client, engine, rules, options.every, ends)
    finally:
        client.close()


def _slurm(
    options: argparse.Namespace, name: str, _token: str, agent_words: tuple[str, ...]
) -> Engine:
    if options.fleet_token_file is None:
        raise StartError(
            "The jobs read the token from a file: --fleet-token-file FILE, at a place that the "
            "nodes see as well, such as your home.",
            EXIT_USAGE,
        )
    program = this_program(Path.home())
    lifetime = 60 * options.time_limit - END_SECONDS
    start = _start(options, agent_words, lifetime, program)
    job = SlurmJob(
        name=name,
        cpus=options.cpus,
        minutes=options.time_limit,
        gpus=options.gpus,
        memory_mib=options.memory_mib,
        partition=options.partition,
        account=options.account,
        output=options.output,
        more=tuple(options.sbatch),
    )
    return Slurm(job, start, options.fleet_token_file.expanduser().absolute(), Path(program.folder))


def _ray(
    options: argparse.Namespace, name: str, token: str, agent_words: tuple[str, ...]
) -> Engine:
    start = _start(options, agent_words, options.max_lifetime, this_program(Path.home()))
    share = RayShare(options.cpus, options.gpus, options.memory_mib)
    return RayCluster(options.address, name, share, start, token)


def _print_manifests(options: argparse.Namespace, agent_words: tuple[str, ...]) -> int:
    name = options.name or "xeenet-worker"
    pod = kubernetes.Pod(
        name=name,
        image=options.image,
        secret=options.secret or name,
        cpus=options.cpus,
        memory_mib=options.memory_mib,
        gpus=options.gpus,
        namespace=options.namespace,
    )
    start = _start(options, agent_words, options.max_lifetime, Program(("xeenet-worker",), Path()))
    if options.kind == "scaledjob":
        place = kubernetes.value_location(options.device)
        manifests = [
            kubernetes.trigger_authentication(pod),
            kubernetes.scaled_job(pod, start, options.most, place),
        ]
    else:
        count: int = options.pods or _missing_pods(options)
        if count == 0:
            log.info("the server wants no further worker: there is nothing to print")
            return EXIT_OK
        manifests = [kubernetes.job(pod, start, count)]
    print(kubernetes.as_yaml(manifests), end="")
    return EXIT_OK


def _missing_pods(options: argparse.Namespace) -> int:
    """Return how many workers the server wants beyond the live ones. Raises `StartError`."""
    client = Client(options.server, fleet_token(options.fleet_token_file, private=True))
    try:
        demand = client.fleet_demand()
    except ServerError as error:
        raise StartError(f"The demand is not known: {error}", EXIT_CANNOT_RUN) from error
    finally:
        client.close()
    wanted = wanted_of(demand, slots=options.slots, device=options.device)
    most: int = options.most
    return min(most, missing(wanted, Jobs(queued=0, running=0)))


def _start(
    options: argparse.Namespace,
    agent_words: tuple[str, ...],
    lifetime_seconds: int | None,
    program: Program,
) -> AgentStart:
    return AgentStart(
        server=options.server,
        slots=options.slots,
        idle_seconds=options.exit_after_idle,
        lifetime_seconds=lifetime_seconds,
        program=options.agent or program.words,
        more=agent_words,
        threads=threads_for(options.cpus, options.slots),
    )


def _name_of(server: str, token: str) -> str:
    """Return a name that two fleets of one person do not share."""
    digest = hashlib.sha256(f"{server} {token}".encode()).hexdigest()
    return f"xeenet-{digest[:8]}"


def _set_up_logging() -> None:
    logging.basicConfig(stream=sys.stderr, level="INFO")
    formatter = PlainFormatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
    for library in ("httpx2", "httpcore2"):
        logging.getLogger(library).setLevel(logging.WARNING)
