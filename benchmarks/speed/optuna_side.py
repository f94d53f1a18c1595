"""Optuna's RDB storage on the same PostgreSQL server: processes that ask and tell.

The processes are forked from one that has imported Optuna, and wait between rounds. Each process
has a connection of its own, like each connection of XeeNet's load.
"""

import contextlib
import multiprocessing
import time
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil

from experiments import catalog

SAMPLERS = ("random", "tpe")


class Ran(NamedTuple):
    """What the processes did in a round."""

    tasks: int
    seconds: float
    trial_seconds: list[float]


class Processes:
    """So many processes, each with the study of each sampler."""

    def __init__(self, pipes: list[Connection], processes: list[BaseProcess]) -> None:
        self._pipes = pipes
        self._processes = processes

    def run(self, sampler: str, *, count: int, seconds: float) -> Ran:
        """Let `count` of the processes ask and tell for so many seconds."""
        began = time.perf_counter()
        for pipe in self._pipes[:count]:
            pipe.send((sampler, seconds))
        took: list[float] = []
        for pipe in self._pipes[:count]:
            took += pipe.recv()
        return Ran(len(took), time.perf_counter() - began, took)

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all processes so far."""
        times = [psutil.Process(process.pid).cpu_times() for process in self._processes]
        return sum(one.user + one.system for one in times)


@contextlib.contextmanager
def processes(url: str, count: int) -> Iterator[Processes]:
    """Create the studies in the database, start the processes, and end them afterwards."""
    import optuna

    address = urlsplit(url)._replace(scheme="postgresql+psycopg").geturl()
    with _quiet():
        storage = optuna.storages.RDBStorage(address)
        for sampler in SAMPLERS:
            optuna.create_study(storage=storage, study_name=sampler, direction="minimize")
        # A forked process must not use the connections of this one.
        storage.remove_session()
        storage.engine.dispose()
    fork = multiprocessing.get_context("fork")
    pipes, started = [], []
    for number in range(count):
        ours, theirs = fork.Pipe()
        process = fork.Process(target=_work, args=(address, number, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        started.append(process)
    try:
        for pipe in pipes:
            pipe.recv()
        yield Processes(pipes, started)
    finally:
        for pipe in pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        for process in started:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def distributions() -> dict[str, Any]:
    """Return the default search space of the catalog's script, as Optuna knows it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    space = catalog.get("train_char_lm").default_search_space["parameters"]
    return {
        parameter["name"]: CategoricalDistribution(parameter["values"])
        if parameter["type"] == "choice"
        else FloatDistribution(parameter["low"], parameter["high"], log=parameter["log"])
        for parameter in space
    }


def _work(address: str, number: int, pipe: Connection) -> None:
    """In a process of its own: ask and tell whenever the pipe says so."""
    import optuna

    with _quiet():
        made = {
            "random": optuna.samplers.RandomSampler(seed=number),
            "tpe": optuna.samplers.TPESampler(seed=number),
        }
        storage = optuna.storages.RDBStorage(address)
        studies = {
            name: optuna.load_study(study_name=name, storage=storage, sampler=sampler)
            for name, sampler in made.items()
        }
        space = distributions()
        pipe.send("ready")
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            while order := pipe.recv():
                name, seconds = order
                pipe.send(_ask_and_tell(studies[name], space, seconds))


def _ask_and_tell(study: Any, space: dict[str, Any], seconds: float) -> list[float]:
    """Return the seconds of each trial."""
    took = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        trial = study.ask(space)
        study.tell(trial, 2.5 + trial.number % 997 / 1000)
        took.append(time.perf_counter() - began)
    return took
