"""Guards of the set-up of torch: what is planned, when it switches, and what it leaves."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, of_agent

_PLAN: Final = "tests/agent/setup/test_plan.py"
_SETUP: Final = "tests/agent/setup/test_setup.py"
_START: Final = "tests/agent/setup/test_first_start.py"


def _mutant(name: str, path: str, old: str, new: str, tests: str, words: str) -> Mutant:
    return of_agent(f"torch: {name}", f"setup/{path}", old, new, tests, words)


SET_UP: Final = (
    of_agent(
        "renewal: a Python is taken while tasks run",
        "tasks/renewal.py",
        "        if is_idle and self._is_new():",
        "        if self._is_new():",
        "tests/agent/tasks/test_renewal.py",
        "waits_for_the_tasks",
    ),
    of_agent(
        "renewal: one that does not work is tried again and again",
        "tasks/renewal.py",
        "            self._known = self._trying\n",
        "",
        "tests/agent/tasks/test_renewal.py",
        "does_not_work",
    ),
    _mutant(
        "a driver that is too old gets CUDA",
        "plan.py",
        "    if driver < _MIN_DRIVER:\n",
        "    if False:\n",
        _PLAN,
        "builds_in_their_order",
    ),
    _mutant(
        "a GPU that CUDA 13 leaves out gets it",
        "plan.py",
        "    if gpu.capability is not None and gpu.capability < _CUDA_13_CAPABILITY:\n",
        "    if False:\n",
        _PLAN,
        "builds_in_their_order",
    ),
    _mutant(
        "kernels of an older generation do",
        "plan.py",
        'kind == "sm" and capability[0] == built_for[0] and capability >= built_for',
        'kind == "sm" and capability >= built_for',
        _PLAN,
        "kernels",
    ),
    _mutant(
        "a GPU without kernels is taken",
        "verify.py",
        "    if not is_built:\n",
        "    if False:\n",
        _PLAN,
        "trial_decides",
    ),
    _mutant(
        "a device that computes nothing is taken",
        "verify.py",
        '    return str(gpu["problem"])\n',
        '    return ""\n',
        _PLAN,
        "trial_decides",
    ),
    _mutant(
        "uv chooses in a folder by the alphabet",
        "build.py",
        '        requirement += f"+{label}" if label else ""\n',
        "",
        _SETUP,
        "build_for_the_driver",
    ),
    _mutant(
        "a network that is away is tried for every build",
        "process.py",
        "        if failed.cause is Cause.UNREACHABLE:\n",
        "        if False:\n",
        _SETUP,
        "network_that",
    ),
    _mutant(
        "a full disk is noticed when it is full",
        "process.py",
        "        if prospect.has_room:\n            return\n",
        "        return\n",
        _SETUP,
        "too_little_room",
    ),
    _mutant(
        "something worse takes the place of what works",
        "process.py",
        "            self._check_not_worse(verdict, prospect.plan, reasons)\n",
        "",
        _SETUP,
        "gives_way",
    ),
    _mutant(
        "the environment of before goes at once",
        "environments.py",
        "            kept.add(choice.previous)\n",
        "            pass\n",
        _SETUP,
        "gives_way",
    ),
    _mutant(
        "what did not work stays",
        "process.py",
        "            if not is_kept:\n                remove_folder(folder)\n",
        "            pass\n",
        _SETUP,
        "gives_way",
    ),
    _mutant(
        "nobody cleans up after a killed one",
        "process.py",
        "            self.environments.remove_leftovers()\n",
        "",
        _SETUP,
        "killed",
    ),
    _mutant(
        "two at a time",
        "environments.py",
        "            _lock(file.fileno())\n",
        "",
        _SETUP,
        "killed",
    ),
    _mutant(
        "a python without torch is taken",
        "process.py",
        "            if not verdict.device:\n                raise",
        "            if False:\n                raise",
        _SETUP,
        "python_that_is_there",
    ),
    _mutant(
        "uv gets the worker's token",
        "uv.py",
        "for name, value in os.environ.items() if name not in _REMOVED}",
        "for name, value in os.environ.items()}",
        _SETUP,
        "no_token",
    ),
    _mutant(
        "a message shows the password of an index",
        "uv.py",
        'host = match.group(1).rpartition("@")[2]',
        "host = match.group(1)",
        _PLAN,
        "what_uv_prints",
    ),
    _mutant(
        "a no is forgotten",
        "first_start.py",
        "    if former is not None and former.step is SetUpStep.DECLINED:\n",
        "    if False:\n",
        _START,
        "for_good",
    ),
    _mutant(
        "nobody says which GPU is not used",
        "choose.py",
        "    if not gpus:\n        return containment\n",
        "    return containment\n",
        _START,
        "too_old",
    ),
    _mutant(
        "a set-up of long ago is told as one of now",
        "progress.py",
        "        if now.is_running or was_seen or now.since > ",
        "        if True or now.since > ",
        _START,
        "beside_it",
    ),
    of_agent(
        "sandbox: the base of the scripts' Python is not bound",
        "running/interpreter.py",
        "    kept = outermost(folders)\n",
        "    kept = outermost(folders[:1])\n",
        _SETUP,
        "in_the_sandbox",
    ),
    of_agent(
        "sandbox: a link to the scripts' Python is not bound",
        "running/sandbox.py",
        "*map(str, (*python.folders, *python.links)),",
        "*map(str, python.folders),",
        _SETUP,
        "in_the_sandbox",
    ),
)
