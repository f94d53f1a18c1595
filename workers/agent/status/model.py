"""What an agent is doing, as plain values. Pure: log, card and `status` show nothing else.

Instants are Unix seconds by this machine's own clock, because only this machine reads them. Texts
may come from a server or a script: whoever shows them makes them plain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

Scalar = str | int | float | bool | None

MAX_CURVE_POINTS: Final = 60
MAX_ENDED: Final = 20  # of the newest tasks; the history has more
MAX_PARAMS: Final = 32
MAX_TEXT_CHARACTERS: Final = 500


class State(StrEnum):
    """What an agent is doing, in a word."""

    SETTING_UP = "setting up"
    MEASURING = "measuring"
    IDLE = "idle"
    WORKING = "working"
    PAUSED = "paused"
    TROUBLE = "trouble"
    DRAINING = "draining"
    STOPPED = "stopped"


class Fault(StrEnum):
    """Whose fault it is that something went wrong."""

    NETWORK = "network"
    SERVER = "server"
    MACHINE = "machine"
    SCRIPT = "script"
    OWNER = "owner"  # the owner's settings forbid it
    NOBODY = "nobody"


class PausedBy(StrEnum):
    """Who lets the agent claim nothing, most binding first."""

    SERVER = "server"  # an operator drained or disabled the worker
    OWNER = "owner"
    RULE = "rule"  # one of the owner's rules
    AGENT = "agent"  # after tasks that this machine could not run, or may not


class Phase(StrEnum):
    """How far a running task has come."""

    PREPARING = "preparing"
    FETCHING = "fetching its data set"
    TRAINING = "training"
    SENDING = "ending"


class Ending(StrEnum):
    """How a task ended on this machine."""

    COMPLETED = "completed"
    NO_VALUE = "no value"  # a result without a value: diverged, or the budget was too small
    FAILED = "failed"
    GIVEN_BACK = "given back"
    CANCELLED = "cancelled"
    LOST = "lost"  # the server ended the lease


class Delivery(StrEnum):
    """How far the result of an ended task has come."""

    NONE = "none"  # there is nothing to send
    SENDING = "sending"
    WAITING = "waiting"  # a try failed; it is tried again
    ANSWERED = "answered"
    SET_ASIDE = "set aside"  # the server does not take it


@dataclass(frozen=True)
class Metric:
    """What the value of a task is called, and how it is written."""

    name: str
    unit: str
    decimals: int

    def text(self, value: float) -> str:
        """Return a value with the metric's decimals: 3.2187."""
        return f"{value:.{self.decimals}f}"


@dataclass(frozen=True)
class Identity:
    """Which agent this is, and what it may use. It stays the same from start to end."""

    version: str
    pid: int
    start_mark: str  # tells this process from a later one with the same pid
    started_at: float
    name: str = ""
    server: str = ""
    tier: str = ""
    devices: tuple[str, ...] = ()
    device_name: str = ""
    cpus: int = 0
    threads: int | None = None  # per script; None lets torch decide
    memory_bytes: int = 0  # per task
    slots: int = 1
    ephemeral: bool = False  # for one job: it leaves its server at its end, and nothing here
    simulated_because: str = ""  # "" where results are measured
    cold_because: str = ""  # why tasks start without a spare; "" where they need not
    rules: tuple[str, ...] = ()  # of the owner, in short words: when it may work


class SetUpStep(StrEnum):
    """How far the set-up of torch is."""

    PYTHON = "fetching Python"
    ENVIRONMENT = "making an environment"
    TORCH = "fetching torch"
    TRIAL = "trying torch"
    DONE = "done"
    FAILED = "failed"
    DECLINED = "declined"  # the owner does not want it; nobody asks again


@dataclass(frozen=True)
class SetUp:
    """The set-up of torch that runs beside the agent or before its first task, or the last one."""

    step: SetUpStep
    sentence: str  # what it does, or how it ended and why
    since: float
    pid: int
    start_mark: str  # tells its process from a later one with the same pid
    done_bytes: int = 0  # on disk
    total_bytes: int = 0  # about; 0 where nothing is fetched

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, as far as it told."""
        return self.step not in {SetUpStep.DONE, SetUpStep.FAILED, SetUpStep.DECLINED}

    @property
    def share(self) -> float | None:
        """Which share of the bytes is there, at most 0.99 before the end; None without any."""
        if not self.total_bytes or not self.is_running:
            return None
        return min(0.99, self.done_bytes / self.total_bytes)


@dataclass(frozen=True)
class Pause:
    """Why no task is claimed, and until when; None until somebody ends it."""

    by: PausedBy
    reason: str
    since: float
    until: float | None = None


@dataclass(frozen=True)
class Trouble:
    """What keeps the agent from something, whose fault that is, and what its owner can do."""

    source: str  # which part of the agent has it; it has one at a time
    fault: Fault
    text: str
    since: float
    advice: str = ""  # "" where it mends itself


@dataclass(frozen=True)
class RunningTask:
    """A task that this machine has now."""

    lease_id: str
    number: str  # campaign/number, as on the server's pages
    campaign_id: int
    campaign: str
    metric: Metric
    budget_seconds: float
    claimed_at: float
    params: dict[str, Scalar] = field(default_factory=dict)
    seed: int | None = None
    max_steps: int | None = None
    phase: Phase = Phase.PREPARING
    trained_since: float | None = None
    step: int | None = None
    train_loss: float | None = None
    value: float | None = None
    curve: tuple[tuple[float, float], ...] = ()  # (seconds, value), thinned out


@dataclass(frozen=True)
class EndedTask:
    """A task that this machine had, and what the server said of its result."""

    lease_id: str
    number: str
    ending: Ending
    ended_at: float
    campaign_id: int = 0
    campaign: str = ""
    metric: Metric | None = None
    value: float | None = None
    seconds: float | None = None
    simulated: bool = False
    failure_class: str = ""
    message: str = ""
    fault: Fault = Fault.NOBODY
    delivery: Delivery = Delivery.NONE
    verdict: str = ""
    said: str = ""  # the server's sentence on it


@dataclass(frozen=True)
class Totals:
    """What became of the tasks since this start."""

    ended: int = 0
    accepted: int = 0  # completed on the server with this machine's result
    failed: int = 0
    given_back: int = 0  # also cancelled ones and lost leases
    seconds: float = 0.0  # of training
    failures: dict[str, int] = field(default_factory=dict)  # by class


@dataclass(frozen=True)
class Status:
    """All that is known of an agent at one moment."""

    identity: Identity
    setting_up: str = "starting"  # "" when that is done
    torch_setup: SetUp | None = None
    measuring: str = ""
    measured: str = ""  # how the last measurement ended
    idle_reason: str = ""
    idle_until: float | None = None
    tasks: tuple[RunningTask, ...] = ()
    pauses: tuple[Pause, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    to_send: int = 0
    draining: str = ""
    stopped: str = ""
    exit_code: int | None = None
    ended: tuple[EndedTask, ...] = ()  # newest last
    totals: Totals = Totals()

    @property
    def state(self) -> State:
        """What the agent is doing: the first that holds. A running task outranks a pause."""
        if self.exit_code is not None:
            return State.STOPPED
        if self.draining:
            return State.DRAINING
        if self.setting_up:
            return State.SETTING_UP
        if self.tasks:
            return State.WORKING
        if self.measuring:
            return State.MEASURING
        if self.pauses:
            return State.PAUSED
        return State.TROUBLE if self.troubles else State.IDLE

    def pause_by(self, who: PausedBy) -> Pause | None:
        """Return the pause of ``who``, None when there is none."""
        return next((pause for pause in self.pauses if pause.by is who), None)

    def task(self, lease_id: str) -> RunningTask | None:
        """Return the running task with this lease, None when it does not run here."""
        return next((task for task in self.tasks if task.lease_id == lease_id), None)
