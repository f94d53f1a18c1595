"""The rounds of an adapter: read the demand, count the jobs, submit what is missing."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Final

from workers.agent.connection.client import Client, RequestRefused, ServerError
from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_NOT_AUTHENTICATED, EXIT_OK
from workers.agent.fleet.demand import Jobs, Wanted, missing, wanted_of
from workers.agent.fleet.engine import Engine, EngineError
from workers.protocol import ErrorCode

_MOST_SECONDS: Final = 600.0  # between two rounds whose jobs end at once

log = logging.getLogger("xeenet.fleet")


@dataclass(frozen=True)
class Rules:
    """How an adapter works: slots of each agent, its device, most jobs a round, whether it only
    says what it would do.
    """

    slots: int
    device: str
    most: int
    dry_run: bool


@dataclass(frozen=True)
class Round:
    """What a round saw and did."""

    wanted: Wanted
    jobs: Jobs
    submitted: int


def one_round(client: Client, engine: Engine, rules: Rules) -> Round:
    """Submit what is missing and say so. Raises `ServerError`, `EngineError`."""
    wanted = wanted_of(client.fleet_demand(), slots=rules.slots, device=rules.device)
    jobs = engine.jobs()
    count = min(missing(wanted, jobs), rules.most)
    seen = (
        f"{wanted.tasks} tasks, {wanted.workers} workers wanted, {wanted.live} live; "
        f"jobs: {jobs.queued} queued, {jobs.running} running"
    )
    if rules.dry_run:
        log.info("%s; would submit %d", seen, count)
        if count:
            print(engine.described(count))
        return Round(wanted, jobs, 0)
    if count == 0:
        log.info("%s; nothing to submit", seen)
        return Round(wanted, jobs, 0)
    log.info("%s; submitted %d (%s)", seen, count, engine.submit(count))
    return Round(wanted, jobs, count)


def run_once(client: Client, engine: Engine, rules: Rules) -> int:
    """Do one round; return the exit code."""
    try:
        one_round(client, engine, rules)
    except (EngineError, ServerError) as error:
        log.error("%s", _explained(error))  # noqa: TRY400 (for people)
        is_refused = isinstance(error, RequestRefused)
        return EXIT_NOT_AUTHENTICATED if is_refused else EXIT_CANNOT_RUN
    return EXIT_OK


def run_rounds(
    client: Client, engine: Engine, rules: Rules, seconds: float, ends: threading.Event
) -> int:
    """Do a round every so many seconds until ``ends`` is set; return the exit code.

    What fails is said and tried again in the next round; a token that the server does not take
    ends it. Rounds whose jobs all end without becoming workers get further and further apart.
    """
    before: Round | None = None
    wait = seconds
    while True:
        try:
            now = one_round(client, engine, rules)
            wait = next_wait(before, now, seconds, wait)
            before = now
        except RequestRefused as error:
            log.error("%s", _explained(error))  # noqa: TRY400 (for people)
            return EXIT_NOT_AUTHENTICATED
        except (EngineError, ServerError) as error:
            wait = max(wait, getattr(error, "retry_after_seconds", None) or 0.0)
            log.warning("%s Trying again in %.0f s.", _explained(error), wait)
        if ends.wait(wait):
            return EXIT_OK


def next_wait(before: Round | None, now: Round, seconds: float, wait: float) -> float:
    """Return the seconds until the next round: more than before when all jobs were for nothing."""
    is_lost = before is not None and before.submitted > 0
    if not is_lost or now.wanted.live or now.jobs.queued or now.jobs.running:
        return seconds
    longer = min(2 * wait, max(_MOST_SECONDS, seconds))
    log.warning(
        "the jobs of the round before have ended and no worker is live: read their output. "
        "The next round is in %.0f s.",
        longer,
    )
    return longer


def _explained(error: EngineError | ServerError) -> str:
    text = str(error)
    if not isinstance(error, RequestRefused):
        return text
    if error.code == ErrorCode.NOT_FOUND:
        return "This server is older and knows no fleets: update it, or enrol single workers."
    return f"The server does not take the fleet token: {text} Make a new one there."
