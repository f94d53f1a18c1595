"""The seven steps of one task, each a line in the log of level debug.

1 resolve the script · 2 check torch · 3 write the config (and place the data set) · 4 spawn ·
5 wait under two deadlines · 6 read the last JSON line · 7 clean up
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from workers.agent.attempt import Attempt
from workers.agent.connection.client import Client, LeaseLost, ServerError, ServerUnavailable
from workers.agent.disk import free_bytes
from workers.agent.grants import Grant
from workers.agent.running.environment import script_environment
from workers.agent.running.execution import MAX_DISK_BYTES, Ending, Execution, Limits, execute
from workers.agent.running.hardware import Machine
from workers.agent.running.sandbox import Sandbox
from workers.agent.running.spare import SpareRecipe
from workers.agent.state import StateFolder
from workers.agent.status.model import Phase
from workers.agent.tasks.clean_up import clean_up
from workers.agent.tasks.datasets import (
    MAX_DATASET_BYTES,
    DatasetRefused,
    cached_dataset,
    cached_dataset_path,
    fetch_dataset,
    make_room,
)
from workers.agent.tasks.judgement import summary
from workers.agent.tasks.outcomes import (
    RunOutcome,
    env_failure,
    log_step,
    pause_reason,
    stopped,
    without_server,
)
from workers.agent.tasks.renewal import Equipment
from workers.agent.tasks.run_config import max_steps, write_inputs
from workers.agent.tasks.scripts import CodePolicy, ScriptUnavailable, is_uploaded, resolve_script
from workers.agent.tasks.simulate import simulate
from workers.agent.tasks.verdict import verdict
from workers.agent.tasks.warm import Place, WarmStarts
from workers.protocol import FailureClass, IsolationTier

PREPARE_SECONDS: Final = 120.0
_PREPARE_GRACE_SECONDS: Final = 5.0

log = logging.getLogger("xeenet.runner")


@dataclass(frozen=True)
class RunnerSettings:
    """How this machine's owner wants tasks to be run."""

    simulate: bool = False
    policy: CodePolicy = field(default_factory=CodePolicy)
    sandbox: Sandbox | None = None  # tier T1; without one, T0
    keep_failed: bool = False
    grant: Callable[[], Grant] = Grant  # asked when a task begins
    disk_bytes: int = MAX_DISK_BYTES  # per task folder
    dataset_bytes: int = MAX_DATASET_BYTES  # largest data set to download
    data_folder: Path | None = None  # default: below the state folder
    warm: bool = False  # keep spares, where this machine can

    @property
    def isolation(self) -> IsolationTier:
        """The tier in which scripts run here."""
        return IsolationTier.T0 if self.sandbox is None else IsolationTier.T1


class _CannotRun(Exception):
    """A step before the spawn failed."""

    def __init__(self, message: str, failure_class: FailureClass) -> None:
        super().__init__(message)
        self.failure_class = failure_class


class Runner:
    """Runs attempts, one per calling thread."""

    def __init__(
        self, state: StateFolder, client: Client, machine: Machine, settings: RunnerSettings
    ) -> None:
        self._state = state
        self._client = client
        self._machine = machine
        self._settings = settings
        self.data_folder = settings.data_folder or state.data
        self.warm = WarmStarts(state, self._recipe if settings.warm else None)

    def equip(self, equipment: Equipment) -> None:
        """Run scripts with other equipment from now on. Call it while none runs."""
        self._machine = equipment.machine
        self._settings = replace(
            self._settings,
            simulate=bool(equipment.simulated_because),
            policy=equipment.policy,
            sandbox=equipment.sandbox,
        )

    def run(self, attempt: Attempt) -> RunOutcome:
        """Run one attempt to its end, with the clean-up. Never raises."""
        outcome, place = self.run_script(attempt)
        self.clean_up(attempt, place, outcome)
        return outcome

    def run_script(self, attempt: Attempt) -> tuple[RunOutcome, Place]:
        """Run one attempt until its script is over; return how it ended and what to clean up.

        Never raises: an unexpected error becomes env_error.
        """
        place = Place(
            self._state.work / attempt.lease_id, self._state.tag_prefix + attempt.lease_id
        )
        outcome = RunOutcome()
        try:
            attempt.grant = attempt.grant or self._settings.grant()
            outcome = simulate(attempt) if self._settings.simulate else self._train(attempt, place)
        except _CannotRun as problem:
            outcome = env_failure(problem.failure_class, str(problem))
        except LeaseLost as lost:  # during the set-up: nobody's fault, nothing to submit
            log.debug("%s: dropped: %s", attempt.label, lost)
        except ServerUnavailable as away:
            outcome = without_server(attempt, away)
        except Exception as error:  # a bug or a broken disk must not take the agent down
            log.exception("%s: the agent failed", attempt.label)
            problem_text = f"the agent failed: {type(error).__name__}: {error}"
            outcome = env_failure(FailureClass.ENV_ERROR, problem_text)
        self.warm.give_up(place, keeps_folder=True)  # a spare that was handed no script after all
        if outcome.submission is not None:
            outcome.submission["code_sha256"] = attempt.lease["code_sha256"]
        return outcome, place

    def clean_up(self, attempt: Attempt, place: Place, outcome: RunOutcome) -> None:
        """Remove the task's folder, or keep it where the owner wants that. Never raises."""
        try:
            keeps = self._settings.keep_failed
            clean_up(attempt, place.folder, outcome, self._state, keep_failed=keeps)
        except OSError as error:  # a failed clean-up must not cost the result
            log.warning("%s: task folder left, the next start removes it: %s", attempt.label, error)

    def data_of(self, attempt: Attempt) -> Path | None:
        """Return the data set of a task that has not begun; None when it is not here yet."""
        path = cached_dataset_path(self.data_folder, attempt.lease["dataset"])
        return path if path.is_file() else None

    @property
    def runs_server_code(self) -> bool:
        """Whether the owner allows any version of the catalog's scripts."""
        return self._settings.policy.server_code

    def free_bytes(self) -> int:
        """Return the free bytes on the disk of the task folders."""
        return free_bytes(self._state.work)

    def _train(self, attempt: Attempt, place: Place) -> RunOutcome:
        lease = attempt.lease
        name, sha256 = lease["code_package_ref"], lease["code_sha256"]
        log_step(attempt, 1, "resolve script %s (sha256 %s)", name, sha256[:12])
        required = lease.get("required_isolation", IsolationTier.T0)
        if required > self._settings.isolation:
            message = f"the task needs isolation {required}, here is {self._settings.isolation}"
            raise _CannotRun(message, FailureClass.ENV_ERROR)
        try:
            source = resolve_script(
                lease,
                client=self._client,
                cache_folder=self._state.packages,
                policy=self._settings.policy,
            )
        except ScriptUnavailable as problem:
            raise _CannotRun(str(problem), problem.failure_class) from problem
        hardware = self._machine.hardware
        if not self._machine.can_train:
            raise _CannotRun(f"no torch: {self._machine.why_not}", FailureClass.ENV_ERROR)
        log_step(
            attempt,
            2,
            "torch %s works on %s",
            hardware.get("torch_version", "?"),
            ", ".join(hardware.get("devices", [])),
        )
        self.warm.take_spare(attempt, place, self.data_folder)
        script, config = write_inputs(attempt, place.folder, source)
        self._place_dataset(attempt, place, script, config)
        if attempt.stop.requested:
            return stopped(attempt)
        if attempt.seconds_to_deadline() < lease["time_budget_seconds"]:
            return RunOutcome(release_reason="the set-up took too long for the deadline")
        if attempt.may_outlast_agent():
            return RunOutcome(release_reason="the set-up took too long for this agent's lifetime")
        return self._spawn_and_judge(attempt, place, script, config)

    def _recipe(self, grant: Grant | None) -> SpareRecipe | None:
        """Return what a spare for a task with this grant must be made of; None: for one of now."""
        if self._settings.simulate or not self._machine.can_train:
            return None
        return SpareRecipe(
            self._machine.python,
            self.data_folder,
            self._settings.sandbox,
            self._machine.script_variables,
            (grant or self._settings.grant()).priority,
            self._settings.disk_bytes,
        )

    def _place_dataset(self, attempt: Attempt, place: Place, script: Path, config: Path) -> None:
        """Get the data set into the cache before the time budget starts.

        Raises `_CannotRun`, `LeaseLost`, `ServerUnavailable`.
        """
        dataset = attempt.lease["dataset"]
        if (cached := cached_dataset(self.data_folder, dataset)) is not None:
            with contextlib.suppress(OSError):  # the owner's folder may be read-only
                os.utime(cached)  # the cache drops the least recently used files first
            return
        try:
            make_room(
                self.data_folder,
                dataset,
                most_bytes=self._settings.dataset_bytes,
                is_own_cache=self._settings.data_folder is None,
            )
        except DatasetRefused as problem:
            raise _CannotRun(str(problem), problem.failure_class) from problem
        attempt.enter(Phase.FETCHING)
        away: ServerUnavailable | None = None
        try:
            if fetch_dataset(self.data_folder, dataset, self._client):
                return
            reason = "the server does not hold it"
        except LeaseLost:
            raise
        except (ServerError, OSError) as error:
            reason = f"the server did not deliver it: {error}"
            away = error if isinstance(error, ServerUnavailable) else None
        if not is_uploaded(attempt.lease):  # uploaded code may not download into the cache
            log.debug("%s: %s; the script fetches it", attempt.label, reason)
            ending = self._prepare(attempt, place.folder, script, config)
            if attempt.stop.requested or cached_dataset(self.data_folder, dataset) is not None:
                return
            reason = f"{reason}; {ending}"
        if away is not None:
            raise away
        message = f"data set {dataset['name']} ({dataset['sha256'][:12]}) is not here: {reason}"
        raise _CannotRun(message, FailureClass.ENV_ERROR)

    def _prepare(self, attempt: Attempt, folder: Path, script: Path, config: Path) -> str:
        """Let the script fetch its data set by itself; return how that ended, for people."""
        python = self._machine.python.executable
        command = [python, "-u", str(script), "--prepare", "--config-file", str(config)]
        sandbox = self._settings.sandbox
        if sandbox is not None:
            command = sandbox.wrap(command, folder=folder, downloads_to=self.data_folder)
        execution = execute(
            command,
            tag=self._state.tag_prefix + attempt.lease_id,
            environment=self._environment(attempt, folder, downloads=True),
            folder=folder,
            limits=self._limits(attempt, PREPARE_SECONDS, _PREPARE_GRACE_SECONDS),
            stop=attempt.stop,
            sandboxed=sandbox is not None,
        )
        return f"the script's own fetch exited with {execution.exit_code}: {execution.last_words}"

    def _spawn_and_judge(
        self, attempt: Attempt, place: Place, script: Path, config: Path
    ) -> RunOutcome:
        lease = attempt.lease
        limits = self._limits(
            attempt, lease["time_budget_seconds"], lease["kill_grace_seconds"], max_steps(lease)
        )
        words = [str(script), "--config-file", str(config)]
        execution = self.warm.run(
            attempt,
            place,
            words,
            data=cached_dataset_path(self.data_folder, lease["dataset"]),
            environment=functools.partial(self._environment, attempt, place.folder),
            limits=limits,
            begin=functools.partial(_begin, attempt, limits),
        )
        if execution is None:
            execution = self._cold_run(attempt, place, words, limits)
        if execution.ending is Ending.STOPPED and not execution.survivors:
            return stopped(attempt)
        attempt.enter(Phase.SENDING)
        submission = verdict(
            attempt,
            execution,
            limits,
            devices=self._machine.hardware.get("devices"),
            data_folder=self.data_folder,
        )
        log_step(attempt, 6, "%s", summary(submission, execution))
        return RunOutcome(
            submission=submission,
            pause_reason=pause_reason(submission),
            stuck_tag=place.tag if execution.survivors else "",
        )

    def _cold_run(
        self, attempt: Attempt, place: Place, words: Sequence[str], limits: Limits
    ) -> Execution:
        """Start the script in a process of its own. Raises OSError."""
        folder, sandbox = place.folder, self._settings.sandbox
        command = [self._machine.python.executable, "-u", *words]
        if sandbox is None:
            log_step(attempt, 4, "spawn the script in its own session, a clean environment (T0)")
        else:
            log_step(attempt, 4, "spawn the script in a sandbox, with a clean environment (T1)")
            data = cached_dataset_path(self.data_folder, attempt.lease["dataset"])
            command = sandbox.wrap(command, folder=folder, readable=[data])
        _begin(attempt, limits)
        return execute(
            command,
            tag=place.tag,
            environment=self._environment(attempt, folder),
            folder=folder,
            limits=limits,
            stop=attempt.stop,
            progress=attempt.progress,
            sandboxed=sandbox is not None,
        )

    def grant(self) -> Grant:
        """Return what a task that begins now may use."""
        return self._settings.grant()

    def _limits(
        self,
        attempt: Attempt,
        time_budget_seconds: float,
        kill_grace_seconds: float,
        max_steps: int | None = None,
    ) -> Limits:
        grant = attempt.grant or Grant()
        return Limits(
            time_budget_seconds=time_budget_seconds,
            kill_grace_seconds=kill_grace_seconds,
            memory_bytes=grant.memory_bytes,
            disk_bytes=self._settings.disk_bytes,
            max_steps=max_steps,
            priority=grant.priority,
        )

    def _environment(
        self,
        attempt: Attempt,
        folder: Path,
        data_folder: Path | None = None,
        *,
        downloads: bool = False,
    ) -> dict[str, str]:
        return script_environment(
            folder,
            data_folder or self.data_folder,
            threads=None if attempt.grant is None else attempt.grant.threads,
            downloads=downloads,
            user_base=self._machine.python.user_base,
            extra=self._machine.script_variables,
        )


def _begin(attempt: Attempt, limits: Limits) -> None:
    """Let the time budget run from now on."""
    log_step(
        attempt,
        5,
        "wait: SIGTERM at %g s, SIGKILL of the tree at %g s",
        limits.time_budget_seconds,
        limits.time_budget_seconds + limits.kill_grace_seconds,
    )
    attempt.begin()
    attempt.enter(Phase.TRAINING)
