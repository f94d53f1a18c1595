"""The calls of agents as the API passes them to the verbs, with answers that can be compared."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns import lifecycle
from campaigns.answers.leases import claim_reply
from campaigns.lifecycle import Claim, LifecycleError
from workers import lifecycle as worker_lifecycle
from workers.models import Worker, WorkerState
from workers.takeover import WorkerInUse

# The answer to a worker whose token opens nothing.
SHUT_OUT: Final = "shut out"
NO_LEASE: Final = uuid.UUID(int=0)


@dataclass(frozen=True)
class Call:
    """One request of an agent: its token, the lease in its address, and its body."""

    token_hash: str
    now: dt.datetime
    body: Mapping[str, Any] = field(default_factory=dict)
    lease_id: uuid.UUID = NO_LEASE


def claim(call: Call) -> Any:
    """Return the reply of `lifecycle.claim` and what goes before it."""
    body, worker = call.body, _worker(call)
    if worker is None:
        return SHUT_OUT
    worker_lifecycle.see(worker, now=call.now, boot_id=body["boot_id"])
    worker_lifecycle.describe(
        worker,
        hardware=body.get("hardware", {}),
        simulates=body["simulate"],
        version=body.get("agent_version", worker.agent_version),
        isolation=body.get("isolation", ""),
        accepts_uploaded_scripts=body.get("accepts_uploaded_scripts", False),
        scripts=body.get("scripts"),
        runs_server_code=body.get("runs_server_code", False),
    )
    try:
        got = lifecycle.claim(
            worker,
            claim_id=body["claim_id"],
            count=body["count"],
            slots=body.get("slots"),
            calibrates=body.get("calibrates", False),
            boot_id=body["boot_id"],
            longest_seconds=body.get("longest_seconds"),
            now=call.now,
        )
    except WorkerInUse as error:
        return str(error)
    return reply_to_claim(got, call)


def reply_to_claim(got: Claim, call: Call) -> Any:
    """Return the reply without what is drawn anew each time, or the same in each."""
    reply: dict[str, Any] = {**claim_reply(got, call.body["count"], call.now)}
    del reply["wait_seconds"], reply["features"]
    return {"reason": reply.pop("reason"), **reply}


def submit(call: Call) -> Any:
    """Return the answer of `lifecycle.submit`, or the name of its refusal."""
    worker = _worker(call)
    if worker is None:
        return SHUT_OUT
    worker_lifecycle.see(worker, now=call.now)
    body: Any = call.body
    try:
        answer = lifecycle.submit(worker, call.lease_id, body, now=call.now)
    except LifecycleError as refusal:
        return type(refusal).__name__
    return str(answer.verdict), answer.message, answer.note


def release(call: Call) -> Any:
    """Return "released", or the name of the refusal of `lifecycle.release`."""
    worker = _worker(call)
    if worker is None:
        return SHUT_OUT
    worker_lifecycle.see(worker, now=call.now)
    try:
        lifecycle.release(worker, call.lease_id, now=call.now, reason=call.body.get("reason", ""))
    except LifecycleError as refusal:
        return type(refusal).__name__
    return "released"


def heartbeat(call: Call) -> Any:
    """Return the answers of `lifecycle.renew` for the leases, and the worker's state."""
    worker = _worker(call)
    if worker is None:
        return SHUT_OUT
    worker_lifecycle.see(worker, now=call.now, boot_id=call.body["boot_id"])
    worker_lifecycle.note_owner_pause(worker, call.body.get("owner_pause"), now=call.now)
    answers = []
    for lease in call.body["leases"]:
        points = lease.get("progress", [])
        answer, reason = lifecycle.renew(worker, lease["lease_id"], now=call.now, progress=points)
        answers.append((str(answer), reason))
    return answers, worker.state


VERBS: Final[Mapping[str, Callable[[Call], Any]]] = {
    "claim": claim,
    "submit": submit,
    "release": release,
    "heartbeat": heartbeat,
}


def _worker(call: Call) -> Worker | None:
    """Return the caller as its token's authentication does; None when it is shut out."""
    worker = Worker.objects.filter(token_hash=call.token_hash).first()
    return None if worker is None or worker.state == WorkerState.DISABLED else worker
