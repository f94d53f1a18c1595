"""The wire vocabulary of server and agent: paths, words, shapes and the checks both make.

Pure standard library. Server and agent import the same module, so neither can drift from the
other. Messages carry durations, never instants: the clocks of server and agents may differ, and
only the database's clock decides.

The calls for one task:

1. ``POST leases/claim``        -> leases, each with config, code and dataset references, durations
2. ``POST heartbeat``           -> per lease: continue, cancel or lost (one call for all leases)
3. ``PUT leases/<id>/result``   -> a `Verdict`; the same body again gets the same answer
   or ``POST leases/<id>/release`` when the agent gives the task back without a result

Between two tasks an agent may be asked to measure its speed: see `workers.calibration`.

Errors are ``{"code": ErrorCode, "message": one sentence, "fields": {...} (only for 400)}``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NotRequired, TypedDict

from experiments.metrics import VAL_BPB, MetricSpec, NoValue
from workers.calibration import CalibrationOrder

API_PREFIX: Final = "/api/v1/"

# Paths below API_PREFIX. Fill in placeholders with str.format.
ENROL_PATH: Final = "workers/enrol"
ME_PATH: Final = "workers/me"
TOKEN_PATH: Final = "workers/me/token"  # noqa: S105 - a path, no secret
CLAIM_PATH: Final = "leases/claim"
HEARTBEAT_PATH: Final = "heartbeat"
RESULT_PATH: Final = "leases/{lease_id}/result"
RELEASE_PATH: Final = "leases/{lease_id}/release"
PACKAGE_PATH: Final = "packages/{sha256}"
DATASET_PATH: Final = "datasets/{sha256}"

MAX_LEASES_PER_CLAIM: Final = 64
MAX_STDERR_TAIL_BYTES: Final = 16 * 1024
MAX_PROGRESS_POINTS_PER_HEARTBEAT: Final = 200
MAX_METRICS_BYTES: Final = 64 * 1024
# The largest whole number that the database columns hold.
MAX_COUNTER: Final = 2**63 - 1
# Values of a result's stop_reason that say why there is no value.
STOP_BUDGET_TOO_SMALL: Final = "budget_too_small"  # no step fitted
STOP_NOT_EVALUATED: Final = "no_time_to_evaluate"  # steps fitted, their evaluation did not
STOP_TERMINATED: Final = "terminated"  # SIGTERM came; after 0 steps there is nothing to evaluate


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
    ENROLMENT_REFUSED = "enrolment_refused"  # 403: unknown, used or expired enrolment token
    NOT_FOUND = "not_found"  # 404
    METHOD_NOT_ALLOWED = "method_not_allowed"  # 405
    LEASE_LOST = "lease_lost"  # 409
    WRONG_STATE = "wrong_state"  # 409
    RESULT_CONFLICT = "result_conflict"  # 409: a different result is already stored for this lease
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


class EnrolRequest(TypedDict):
    enrolment_token: str
    name: NotRequired[str]
    hardware: NotRequired[Hardware]
    agent_version: NotRequired[str]


class EnrolReply(TypedDict):
    worker_id: int
    name: str
    token: str  # shown once; the server keeps only its hash


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


class ClaimReply(TypedDict):
    leases: list[Lease]
    heartbeat_seconds: float
    wait_seconds: float  # until the next claim when fewer leases were granted; jittered
    reason: str  # why fewer leases than requested, in one sentence; "" when all were granted
    calibrate: NotRequired[CalibrationOrder]  # only to agents that say that they can


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


class HeartbeatRequest(TypedDict):
    boot_id: str
    leases: list[HeartbeatLease]


class LeaseAnswer(TypedDict):
    lease_id: str
    answer: HeartbeatAnswer
    reason: str


class HeartbeatReply(TypedDict):
    leases: list[LeaseAnswer]
    heartbeat_seconds: float
    worker_state: str  # "active", "draining" or "disabled"; only an active worker claims


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


def canonical_digest(body: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of a JSON body, independent of the order of its keys."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


_REQUIRED_COUNTERS: Final = (
    "steps_completed",
    "model_params",
    "eval_bytes",
    "eval_tokens",
    "tokens_trained",
)
_NUMBERS_OR_NULL: Final = ("train_loss", "eval_nll_nats")
_REQUIRED_TEXTS: Final = ("device_used", "dataset_sha256", "stop_reason")


def is_number(value: object) -> bool:
    """Return whether `value` is a finite JSON number. A bool is not, although it is an int."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


def with_whole_numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics with counters like 10.0 as whole numbers: some programs write no others.

    The agent sends them like this; the server takes nothing else.
    """
    whole = dict(metrics)
    for key in (*_REQUIRED_COUNTERS, "seed"):
        if isinstance(value := whole.get(key), float) and value.is_integer():
            whole[key] = int(value)
    return whole


def without_untrained_value(
    metrics: Mapping[str, Any], spec: MetricSpec = VAL_BPB
) -> dict[str, Any]:
    """Return the metrics without the value of a run that got SIGTERM before its first step.

    What such a run evaluated is the untrained model. It becomes a finding without a value.
    """
    terminated = metrics.get("stop_reason") == STOP_TERMINATED
    untrained = metrics.get("steps_completed") == 0 and metrics.get("diverged") is not True
    if not (terminated and untrained):
        return dict(metrics)
    finding = {"stop_reason": STOP_BUDGET_TOO_SMALL, spec.name: None, "eval_nll_nats": None}
    return {**metrics, **finding, "eval_bytes": 0, "eval_tokens": 0}


def metrics_problems(metrics: object, spec: MetricSpec = VAL_BPB) -> list[str]:
    """Return how `metrics` breaks the result-line contract, a sentence per problem; [] when sound.

    `spec` is the metric whose value the line must have. Checks only shape and internal consistency.
    The server checks whether dataset, seed and denominator fit the campaign.
    """
    if not isinstance(metrics, dict):
        return ["the result must be a JSON object"]
    problems = [f"{key} is missing" for key in (spec.name, "train_loss") if key not in metrics]
    for key in _REQUIRED_COUNTERS:
        if type(metrics.get(key)) is not int or not 0 <= metrics[key] <= MAX_COUNTER:
            problems.append(f"{key} must be a whole number from 0 to 2^63 - 1")
    if type(metrics.get("seed")) is not int or abs(metrics["seed"]) > MAX_COUNTER:
        problems.append("seed must be a whole number")
    if (
        not is_number(metrics.get("wall_time_seconds"))
        or not 0 <= metrics["wall_time_seconds"] <= MAX_COUNTER
    ):
        problems.append("wall_time_seconds must be a number of at least 0")
    for key in (spec.name, *_NUMBERS_OR_NULL, *_own_counters(spec)):
        if metrics.get(key) is not None and not is_number(metrics[key]):
            problems.append(f"{key} must be a finite number or null")
    for key in _REQUIRED_TEXTS:
        if not isinstance(metrics.get(key), str) or not metrics[key]:
            problems.append(f"{key} must be a text")
    if not isinstance(metrics.get("diverged", False), bool):
        problems.append("diverged must be true or false")
    if problems or is_finding_without_value(metrics, spec):
        return problems
    return _value_problems(metrics, spec)


def is_finding_without_value(metrics: Mapping[str, Any], spec: MetricSpec = VAL_BPB) -> bool:
    """Return whether a value is rightly absent: the loss diverged, or the budget was too small."""
    too_small = metrics.get("stop_reason") in (STOP_BUDGET_TOO_SMALL, STOP_NOT_EVALUATED)
    return metrics.get(spec.name) is None and (metrics.get("diverged") is True or too_small)


def _own_counters(spec: MetricSpec) -> list[str]:
    """Return the counters of the metric that not every result line has."""
    common = {*_REQUIRED_COUNTERS, *_NUMBERS_OR_NULL, "wall_time_seconds"}
    return [name for name in spec.counters if name not in common]


def _value_problems(metrics: dict[str, Any], spec: MetricSpec) -> list[str]:
    """Check a value that must exist: present, within its bounds, and equal to its counters."""
    name, value = spec.name, metrics[spec.name]
    if metrics.get("diverged") is True or metrics["stop_reason"] == STOP_BUDGET_TOO_SMALL:
        return [f"{name} must be null in a run that diverged or fitted no step in its budget"]
    if not is_number(value) or value <= spec.low:
        least = f"{spec.low:g}"
        return [f'{name} must be a finite number above {least} (or the run says "diverged": true)']
    if value >= spec.high:
        why = "" if spec.is_maximised else "; such a run diverged"
        return [f"{name} {value:.0f} is not below {spec.high:.0f}{why}"]
    try:
        computed = spec.value(metrics)
    except NoValue:
        return [f"{' and '.join(spec.counters)} must be the counters {name} comes from"]
    if abs(computed - value) > spec.tolerance:
        return [f"{name} {value:.6f} does not follow from its counters ({computed:.6f})"]
    return []
