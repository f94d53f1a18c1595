"""The wire vocabulary of server and agent: paths, words and shapes.

Pure standard library. Server and agent import the same module, so neither can drift from the
other. Messages carry durations, never instants: the clocks of server and agents may differ, and
only the database's clock decides.

The calls for one task:

1. ``POST leases/claim``        -> leases, each with config, code and dataset references, durations
2. ``POST heartbeat``           -> per lease: continue, cancel or lost (one call for all leases)
3. ``PUT leases/<id>/result``   -> a `Verdict`; the same body again gets the same answer
   or ``POST leases/<id>/release`` when the agent gives the task back without a result

Several results that wait may go together, as ``POST leases/results``.

Between two tasks an agent may be asked to measure its speed: see `workers.calibration`. Agents and
servers of different versions work together: see `workers.features`.

Errors are ``{"code": ErrorCode, "message": one sentence, "fields": {...} (only for 400)}``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NotRequired, TypedDict

from workers.calibration import CalibrationOrder

API_PREFIX: Final = "/api/v1/"

# Paths below API_PREFIX. Fill in placeholders with str.format.
ENROL_PATH: Final = "workers/enrol"
ME_PATH: Final = "workers/me"
TOKEN_PATH: Final = "workers/me/token"  # noqa: S105 - a path, no secret
LEAVE_PATH: Final = "workers/me/leave"
CLAIM_PATH: Final = "leases/claim"
HEARTBEAT_PATH: Final = "heartbeat"
RESULT_PATH: Final = "leases/{lease_id}/result"
RESULTS_PATH: Final = "leases/results"
RELEASE_PATH: Final = "leases/{lease_id}/release"
PACKAGE_PATH: Final = "packages/{sha256}"
DATASET_PATH: Final = "datasets/{sha256}"
FLEET_DEMAND_PATH: Final = "fleet/demand"  # with a fleet token

MAX_LEASES_PER_CLAIM: Final = 64
MAX_SCRIPTS_PER_CLAIM: Final = 64
MAX_RESULTS_PER_REQUEST: Final = 64
MAX_STDERR_TAIL_BYTES: Final = 16 * 1024
MAX_PROGRESS_POINTS_PER_HEARTBEAT: Final = 200
MAX_METRICS_BYTES: Final = 64 * 1024
# The largest whole number that the database columns hold.
MAX_COUNTER: Final = 2**63 - 1


class Outcome(StrEnum):
    """How the agent reports the end of a run in a submission."""

    COMPLETED = "completed"  # the script ended with a result line (a diverged loss included)
    FAILED = "failed"  # anything else; `failure_class` says what


class FailureClass(StrEnum):
    """Why an attempt has no result; `campaigns.lifecycle.retry` decides what is charged for it."""

    LOST = "lost"  # the lease ran out or the worker went away: nobody's fault
    SCRIPT_ERROR = "script_error"  # the script exited non-zero
    NO_JSON = "no_json"  # exit 0, but no complete JSON line on stdout
    INVALID_RESULT = "invalid_result"  # a result line that breaks the contract
    TIMEOUT = "timeout"  # killed at budget + grace
    OOM = "oom"  # out of memory, on the host or the GPU
    DISK_FULL = "disk_full"  # no space left for the task folder
    OUTPUT_FLOOD = "output_flood"  # more stdout or stderr than the reader accepts
    ENV_ERROR = "env_error"  # the worker cannot run the task: no torch, no script, no dataset
    REFUSED = "refused"  # the worker's owner does not allow this code
    TOO_SLOW = "too_slow"  # the server says so: a work budget ran into its guard


# Never counted against the config: the machine or the network was at fault.
INFRASTRUCTURE_FAILURES: Final = frozenset(
    {
        FailureClass.LOST,
        FailureClass.ENV_ERROR,
        FailureClass.REFUSED,
        FailureClass.TOO_SLOW,
    }
)


class HeartbeatAnswer(StrEnum):
    """What an agent must do with a lease that it just reported."""

    CONTINUE = "continue"
    CANCEL = "cancel"  # a person cancelled the task: stop the script, send nothing
    LOST = "lost"  # the lease is gone: stop the script; a finished result may still be sent


class Verdict(StrEnum):
    """What the server did with a submission."""

    ACCEPTED = "accepted"  # the task is completed with this result
    LATE = "late"  # stored on the attempt, but another attempt decides the task
    REFUSED = "refused"  # the metrics contradict themselves or the campaign (HTTP 422)
    RETRY = "retry"  # failure recorded; the task will run again
    FAILED = "failed"  # failure recorded; the task has no tries left
    RELEASED = "released"  # the task is pending again


class ErrorCode(StrEnum):
    """The `code` of an error answer, each with its HTTP status."""

    INVALID = "invalid"  # 400: the body has the wrong shape
    NOT_AUTHENTICATED = "not_authenticated"  # 401: a token arrived, and nobody here has it
    NO_CREDENTIALS = "no_credentials"  # 401: no token arrived (a proxy may drop headers)
    PERMISSION_DENIED = "permission_denied"  # 403
    ENROLMENT_REFUSED = "enrolment_refused"  # 403: unknown, used, expired or revoked token
    NOT_FOUND = "not_found"  # 404
    METHOD_NOT_ALLOWED = "method_not_allowed"  # 405
    LEASE_LOST = "lease_lost"  # 409
    WRONG_STATE = "wrong_state"  # 409
    RESULT_CONFLICT = "result_conflict"  # 409: a different result is already stored for this lease
    FLEET_FULL = "fleet_full"  # 409 with Retry-After: as many of its workers live as it allows
    WORKER_IN_USE = "worker_in_use"  # 409 to a claim: an agent that started later uses this worker
    PAYLOAD_TOO_LARGE = "payload_too_large"  # 413
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"  # 415
    METRICS_REFUSED = "metrics_refused"  # 422
    THROTTLED = "throttled"  # 429 with Retry-After
    DATABASE_UNAVAILABLE = "database_unavailable"  # 503 with Retry-After


# An agent believes an error only when code and status fit: proxies answer JSON with a `code`, too.
# Answers of 429 and from 500 on need no code; the agent tries again in any case.
ERROR_STATUS: Final[Mapping[str, int]] = {
    ErrorCode.INVALID: 400,
    ErrorCode.NOT_AUTHENTICATED: 401,
    ErrorCode.NO_CREDENTIALS: 401,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.ENROLMENT_REFUSED: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.LEASE_LOST: 409,
    ErrorCode.WRONG_STATE: 409,
    ErrorCode.RESULT_CONFLICT: 409,
    ErrorCode.FLEET_FULL: 409,
    ErrorCode.WORKER_IN_USE: 409,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.METRICS_REFUSED: 422,
}


class IsolationTier(StrEnum):
    """How strongly a worker isolates scripts, weakest first; the values compare in this order."""

    T0 = "T0"  # own session, clean environment, bounded readers, watchdogs, kill of the tree
    T1 = "T1"  # T0 in bubblewrap: no network, only the task folder writable, own process ids


class ScriptOrigin(StrEnum):
    """Where a lease's script comes from."""

    BUILTIN = "builtin"  # from the catalog that came with the server
    UPLOADED = "uploaded"  # uploaded by a researcher; an operator approved its hash


class Hardware(TypedDict, total=False):
    """What an agent reports about its machine. Every key is optional; unknown values are absent."""

    platform: str
    python_version: str
    cpu_model: str
    cpu_count: int
    ram_bytes: int
    torch_version: str
    devices: list[str]  # usable torch devices, best first: ["cuda", "cpu"]
    gpu_name: str
    gpu_memory_bytes: int
    notes: list[str]  # why something is missing: "cuda: driver too old"
    machine: str  # the same for all agents that run on it; changes when it starts anew


# 8 to 64 characters that tell a machine of a fleet from its others, for as long as it exists.
MACHINE_KEY_PATTERN: Final = r"[A-Za-z0-9_.-]{8,64}"


class EnrolRequest(TypedDict):
    enrolment_token: str  # an invitation, or a fleet's token
    machine_key: NotRequired[str]  # with a fleet's token, and only then
    name: NotRequired[str]  # ignored with a fleet's token: the server names its workers
    hardware: NotRequired[Hardware]
    agent_version: NotRequired[str]


class EnrolReply(TypedDict):
    worker_id: int
    name: str
    token: str  # shown once; the server keeps only its hash
    ephemeral: NotRequired[bool]  # true: the worker is retired when it leaves or stays silent


class FleetNeed(TypedDict):
    """Tasks of one kind that wait for the workers of a fleet, and how many of these there are."""

    device: str  # "cpu", "cuda" or "mps"; "any" where the tasks do not care
    tier: str  # the weakest isolation that may run them
    claimable: int
    leased: int  # by this fleet's workers
    live_workers: int  # of this fleet, those that may run them
    wanted_workers: int


class FleetDemand(TypedDict):
    """Answer to ``GET fleet/demand``: how many workers the fleet of the token should have."""

    claimable: int  # tasks that its workers could claim now; of very many, a lower bound
    leased: int  # tasks that its workers hold
    oldest_wait_seconds: float | None  # of the oldest claimable task; null without one
    live_workers: int
    wanted_workers: int  # at most max_live
    max_live: int
    needs: list[FleetNeed]


class LeaveReply(TypedDict):
    released: int  # tasks that it held, which are pending again
    message: str


class TokenReply(TypedDict):
    """Answer to ``POST workers/me/token``, which sends an empty object with the old token."""

    token: str  # shown once; the old token is rejected from the next request on


class ClaimRequest(TypedDict):
    claim_id: str  # UUID; a repeated id returns the same leases
    boot_id: str  # UUID, new at every agent start
    count: int
    simulate: bool  # the agent has no torch and would return simulated metrics
    hardware: NotRequired[Hardware]
    agent_version: NotRequired[str]
    isolation: NotRequired[IsolationTier]  # probed at the agent's start; absent means T0
    accepts_uploaded_scripts: NotRequired[bool]  # the owner opted in; absent means no
    slots: NotRequired[int]  # leases it can hold, undelivered results included; absent means 64
    calibrates: NotRequired[bool]  # it can measure its speed when the reply asks; absent means no
    # SHA-256 of the catalog's scripts that it runs: its own, and those it fetches from the server
    # because its list of releases names them. Absent from older agents.
    scripts: NotRequired[list[str]]
    runs_server_code: NotRequired[bool]  # the owner allows any of the catalog's; absent means no
    longest_seconds: NotRequired[float]  # most budget and grace of a task; absent: any length


class DatasetReference(TypedDict):
    name: str
    sha256: str
    size_bytes: int


class Lease(TypedDict):
    """One claimed task as the agent sees it. Durations count from the arrival of the reply."""

    lease_id: str
    task_id: int
    task_number: int
    campaign_id: int
    campaign_name: str
    code_package_ref: str  # the experiment's name in the catalog
    code_sha256: str
    dataset: DatasetReference
    config: dict[str, Any]  # what the script reads, seed and time_budget_seconds included
    time_budget_seconds: float
    kill_grace_seconds: float  # from SIGTERM at the budget until SIGKILL of the tree
    lease_seconds: float  # without a heartbeat the lease ends after this long
    deadline_seconds: float  # the attempt's hard end, never extended
    required_isolation: NotRequired[IsolationTier]  # absent from older servers: T0
    script_origin: NotRequired[ScriptOrigin]  # absent from older servers: builtin
    # `check_experiment` found equal values in a process that had imported torch before; absent: not
    # known.
    starts_warm: NotRequired[bool]


class ClaimReply(TypedDict):
    leases: list[Lease]
    heartbeat_seconds: float
    wait_seconds: float  # until the next claim when fewer leases were granted; jittered
    reason: str  # why fewer leases than requested, in one sentence; "" when all were granted
    calibrate: NotRequired[CalibrationOrder]  # only to agents that say that they can
    features: NotRequired[list[str]]  # what the server knows beyond 0.1.0: `workers.features`


class ProgressPoint(TypedDict):
    """One progress line of the script, numbered by the agent from 0."""

    seq: int
    elapsed_seconds: float
    step: int
    tokens: NotRequired[int | None]
    train_loss: NotRequired[float | None]
    val_bpb: NotRequired[float | None]


class HeartbeatLease(TypedDict):
    lease_id: str
    progress: NotRequired[list[ProgressPoint]]


MAX_OWNER_PAUSE_SECONDS: Final = 366 * 86_400  # a longer one has no end that is worth telling


class OwnerPause(TypedDict):
    """The owner's rules let the agent claim nothing, for so long still; None: nobody knows."""

    seconds: float | None


class HeartbeatRequest(TypedDict):
    boot_id: str
    leases: list[HeartbeatLease]
    owner_pause: NotRequired[OwnerPause]  # absent while its owner lets it work


class LeaseAnswer(TypedDict):
    lease_id: str
    answer: HeartbeatAnswer
    reason: str


class HeartbeatReply(TypedDict):
    leases: list[LeaseAnswer]
    heartbeat_seconds: float
    worker_state: str  # "active", "draining" or "disabled"; only an active worker claims
    features: NotRequired[list[str]]  # as in ClaimReply


class Submission(TypedDict):
    """Body of ``PUT leases/<id>/result``."""

    outcome: Outcome
    metrics: NotRequired[dict[str, Any] | None]  # the script's result line, for COMPLETED
    failure_class: NotRequired[FailureClass | None]  # for FAILED
    # For people: why it failed, or what was unusual about a run that counts ("did not exit").
    message: NotRequired[str]
    exit_code: NotRequired[int | None]
    stderr_tail: NotRequired[str]
    wall_time_seconds: NotRequired[float | None]  # spawn to exit, by the agent's monotonic clock
    foreign_load: NotRequired[float | None]  # cores that other programs used during the run
    simulated: NotRequired[bool]
    code_sha256: NotRequired[str]
    final: NotRequired[bool]  # the script refused its config: another try would fail, too


class SubmissionReply(TypedDict):
    verdict: Verdict
    message: str
    note: NotRequired[str]  # for the worker's owner: what the run counts for; absent: not said


class ResultOfLease(Submission):
    """One of ``POST leases/results``."""

    lease_id: str


class ResultsRequest(TypedDict):
    results: list[ResultOfLease]  # each lease once


class ResultAnswer(TypedDict):
    """What ``PUT leases/<id>/result`` would have answered, with its HTTP status.

    With `verdict` as in SubmissionReply, or with `code` and `fields` as in an error.
    """

    lease_id: str
    status: int
    message: str
    verdict: NotRequired[Verdict]
    note: NotRequired[str]
    code: NotRequired[str]
    fields: NotRequired[dict[str, list[str]]]


class ResultsReply(TypedDict):
    results: list[ResultAnswer]  # in the order of the request


def canonical_digest(body: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of a JSON body, independent of the order of its keys."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def is_number(value: object) -> bool:
    """Return whether `value` is a finite JSON number. A bool is not, although it is an int."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False
