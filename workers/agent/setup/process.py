"""The whole of a set-up: look, plan, build, try, switch. What worked before stays until then."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.agent.disk import MIN_FREE_BYTES, free_bytes, remove_folder
from workers.agent.running.interpreter import Interpreter, InterpreterError, inspect_interpreter
from workers.agent.setup.build import (
    Base,
    fetch_python,
    find_base,
    hardware_variables,
    make_environment,
)
from workers.agent.setup.detect import Gpu, Places, detect
from workers.agent.setup.environments import Choice, Environments, python_of
from workers.agent.setup.plan import CPU, PYTHON_SIZES, Build, Plan, make_plan
from workers.agent.setup.progress import Reporter
from workers.agent.setup.uv import Cause, Failure, Uv
from workers.agent.setup.verify import Verdict, best_device, judge, try_out
from workers.agent.status import words
from workers.agent.status.model import SetUpStep

_WHEEL_FACTOR: Final = 3  # unpacked files, and the wheel that is read
_OFFLINE: Final = (
    "Nothing was changed. Check the network and its proxy and start again (what was fetched is "
    "kept), or bring the wheels in a folder: --wheels FOLDER"
)


class SetUpFailed(Exception):
    """The set-up changed nothing; the message says why and what to do."""


@dataclass(frozen=True)
class Request:
    """What the owner wants of a set-up."""

    backend: str = ""  # "" lets the plan decide
    wheels: Path | None = None  # the only source of packages
    python: Path | None = None  # an interpreter to use as it is


@dataclass(frozen=True)
class Prospect:
    """What a set-up would do."""

    gpus: tuple[Gpu, ...]
    plan: Plan
    base: Base
    download_bytes: int
    disk_bytes: int
    free_bytes: int

    @property
    def fetches_python(self) -> bool:
        """Whether there is no Python here to begin with."""
        return not self.base.path

    @property
    def has_room(self) -> bool:
        """Whether the disk has room for the first build, and some more."""
        return self.free_bytes >= self.disk_bytes + 2 * MIN_FREE_BYTES


class SetUpProcess:
    """A set-up for the agent on ``state_root``. Raises `UvMissing`, OSError."""

    def __init__(self, state_root: Path, request: Request, places: Places | None = None) -> None:
        self.environments = Environments(state_root)
        self.request = request
        self._places = places or Places()
        self.gpus = detect(self._places)
        self._tag = f"xeenet-setup-{os.getpid()}-trial"
        self._uv: Uv | None = None

    @property
    def uv(self) -> Uv:
        """The uv that makes the environments. Raises `UvMissing`."""
        if self._uv is None:
            variables = hardware_variables(self.gpus)
            if self.request.wheels is not None:
                variables["UV_CACHE_DIR"] = str(self.environments.cache)
            self._uv = Uv(self.environments, variables)
        return self._uv

    def plan(self) -> Plan:
        """Return which builds would be tried, and why."""
        return make_plan(self.gpus, self._places.host, self.request.backend)

    def prospect(self) -> Prospect:
        """Return what would be done, and what it takes. Raises `UvMissing`, OSError."""
        plan = self.plan()
        self.environments.root.mkdir(parents=True, exist_ok=True)
        base = find_base(self.uv)
        download, disk = _sizes(plan.builds, self.request.wheels)
        if not base.path:
            download, disk = download + PYTHON_SIZES[0], disk + PYTHON_SIZES[1]
        free = free_bytes(self.environments.root)
        return Prospect(self.gpus, plan, base, download, disk, free)

    def try_present(self, python: Interpreter, wanted: str) -> Verdict:
        """Return how the torch of a Python does that is there already."""
        self.environments.root.mkdir(parents=True, exist_ok=True)
        report, problem = try_out(python, self.environments.root, self._tag)
        return judge(report, problem, wanted)

    def take(self, path: Path, reporter: Reporter) -> Choice:
        """Let the scripts run with an interpreter that is there already, once it has worked.

        Raises `SetUpFailed`, `SetUpRuns`, OSError.
        """
        with self.environments.locked():
            reporter.step(SetUpStep.TRIAL, f"tries {path}")
            try:
                python = inspect_interpreter(path)
            except InterpreterError as error:
                raise SetUpFailed(f"{error}. Nothing was changed.") from error
            report, problem = try_out(python, self.environments.root, self._tag)
            verdict = judge(report, problem, best_device(report))
            if not verdict.device:
                raise SetUpFailed(f"{path}: {verdict.sentence}. Nothing was changed.")
            return self._switch(python, verdict, (), environment="")

    def carry_out(self, prospect: Prospect, reporter: Reporter) -> Choice:
        """Make the environment and switch to it. Raises `SetUpFailed`, `SetUpRuns`, OSError.

        Of several builds the first that works is taken; the sentence of the choice says why not an
        earlier one.
        """
        if not prospect.plan.builds:
            raise SetUpFailed(f"{prospect.plan.reason}. {prospect.plan.advice}".strip())
        self._check_room(prospect)
        with self.environments.locked():
            self.environments.remove_leftovers()
            if self.request.wheels is not None:
                # uv takes a wheel from its cache by its name, whatever is in the folder by now.
                self.environments.remove_cache()
            base = self._base(prospect, reporter)
            reasons: list[str] = []
            for build in prospect.plan.builds:
                choice = self._attempt(base, build, prospect, reasons, reporter)
                if choice is not None:
                    return choice
        raise SetUpFailed(f"No build of torch works here: {'; '.join(reasons)}")

    def _check_room(self, prospect: Prospect) -> None:
        if prospect.has_room:
            return
        first = prospect.plan.builds[0]
        advice = "Make room"
        if first.device != CPU:
            small = words.size(prospect.plan.builds[-1].disk_bytes)
            advice += f", or take the build for the CPU (about {small}): --backend cpu"
        raise SetUpFailed(
            f"torch for {first.name} takes about {words.size(prospect.disk_bytes)} on the disk of "
            f"{self.environments.root}, and {words.size(prospect.free_bytes)} are free there. "
            f"{advice}."
        )

    def _base(self, prospect: Prospect, reporter: Reporter) -> Base:
        if not prospect.fetches_python:
            return prospect.base
        base, failed = fetch_python(self.uv, reporter)
        if failed is not None:
            advice = _OFFLINE if failed.cause is Cause.UNREACHABLE else "Nothing was changed."
            raise SetUpFailed(f"Python cannot be fetched: {failed.sentence}. {advice}")
        return base

    def _attempt(
        self, base: Base, build: Build, prospect: Prospect, reasons: list[str], reporter: Reporter
    ) -> Choice | None:
        """Make and try one build. Return None, with its reason added, where another may work."""
        folder = self.environments.new_folder()
        is_kept = False
        try:
            wheels = self.request.wheels
            failed = make_environment(
                self.uv, base, build, folder, reporter, self.environments, wheels
            )
            if failed is not None:
                self._give_up(failed, build)
                _note(reasons, build, failed.sentence, reporter)
                return None
            reporter.step(SetUpStep.TRIAL, f"tries torch for {build.name}")
            python = inspect_interpreter(python_of(folder))
            report, problem = try_out(python, self.environments.root, self._tag)
            verdict = judge(report, problem, build.device)
            is_cpu_build = not report.get("cuda") and not report.get("hip")
            if verdict.device != build.device:
                _note(reasons, build, verdict.sentence, reporter)
                if not (verdict.device == CPU and is_cpu_build):
                    return None  # uv found another build than the CPU's, so that may still work
            self._check_not_worse(verdict, prospect.plan, reasons)
            is_kept = True
            return self._switch(python, verdict, reasons, environment=folder.name)
        except InterpreterError as error:
            _note(reasons, build, str(error), reporter)
            return None
        finally:
            if not is_kept:
                remove_folder(folder)

    def _give_up(self, failed: Failure, build: Build) -> None:
        """Raise `SetUpFailed` for what no other build would change."""
        if failed.cause is Cause.UNREACHABLE:
            raise SetUpFailed(f"torch for {build.name}: {failed.sentence}. {_OFFLINE}")
        if failed.cause is Cause.DISK_FULL:
            root = self.environments.root
            free = words.size(free_bytes(root))
            takes = "" if self.request.wheels else f"takes about {words.size(build.disk_bytes)}, "
            raise SetUpFailed(
                f"{failed.sentence}: torch for {build.name} {takes}does not fit in {root}, where "
                f"{free} are free now. Nothing was changed."
            )

    def _check_not_worse(self, verdict: Verdict, plan: Plan, reasons: Sequence[str]) -> None:
        """Raise `SetUpFailed` where the environment of before can use a GPU and the new cannot."""
        former = self.environments.choice()
        if former is None or former.device == CPU or verdict.device != CPU or not plan.wants_gpu:
            return
        raise SetUpFailed(
            f"The environment of before stays, which works on {former.device}: {'; '.join(reasons)}"
        )

    def _switch(
        self, python: Interpreter, verdict: Verdict, reasons: Sequence[str], *, environment: str
    ) -> Choice:
        sentence = verdict.sentence
        if reasons:
            sentence += f". Not taken: {'; '.join(reasons)}"
        if verdict.notes:
            sentence += f". Note: {'; '.join(verdict.notes)}"
        choice = Choice(
            python.executable, verdict.torch_version, verdict.device, sentence, environment
        )
        self.environments.choose(choice)
        self.environments.remove_cache()
        return choice


def _note(reasons: list[str], build: Build, reason: str, reporter: Reporter) -> None:
    reasons.append(f"{build.name}, {reason}")
    reporter.step(SetUpStep.TRIAL, f"the build for {build.name} does not work: {reason}")


def _sizes(builds: Sequence[Build], wheels: Path | None) -> tuple[int, int]:
    """Return what the first build takes: (bytes to download, bytes on disk)."""
    if not builds:
        return 0, 0
    if wheels is None:
        return builds[0].download_bytes, builds[0].disk_bytes
    return 0, _WHEEL_FACTOR * sum(path.stat().st_size for path in wheels.glob("*.whl"))
