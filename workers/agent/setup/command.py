"""``xeenet-worker setup``: torch for the GPU of this machine, beside a running agent or before one.

xeenet-worker setup                   look, show the plan, ask, then do it
xeenet-worker setup --plan            look and show the plan only
xeenet-worker setup --python PATH     use a Python that has torch already
xeenet-worker setup --wheels FOLDER   without network, from wheels in a folder
xeenet-worker setup --reset           the agent's own Python again

It does not take the state folder's lock. The exit code is 0 when scripts can run, 2 for wrong
options, 3 when a folder cannot be used, and 5 when nothing was changed because it did not work.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from workers.agent.exits import EXIT_CANNOT_RUN, EXIT_OK, EXIT_STATE_FOLDER
from workers.agent.plain_text import plain
from workers.agent.setup.build import FETCHED_PYTHON
from workers.agent.setup.choose import chosen_interpreter
from workers.agent.setup.detect import Gpu
from workers.agent.setup.environments import Choice, Environments, SetUpRuns
from workers.agent.setup.plan import CPU, TORCH_PIN
from workers.agent.setup.process import Prospect, Request, SetUpFailed, SetUpProcess
from workers.agent.setup.progress import Reporter, file_sink, terminal_sink
from workers.agent.setup.uv import UvMissing
from workers.agent.state import HOME_VARIABLE, default_state_folder
from workers.agent.status import words

_BACKEND: Final = re.compile(r"cpu|cu\d{2,3}|rocm\d+(\.\d+)+")
_DONE: Final = "An agent that is running uses it from its next task on."


def setup_command(arguments: Sequence[str]) -> int:
    """Set up torch as the arguments after "setup" say; return the exit code."""
    options = _parser().parse_args(list(arguments))
    root = (options.state_dir or default_state_folder()).expanduser().absolute()
    signal.signal(signal.SIGTERM, _end)
    try:
        if options.reset:
            return _reset(root)
        root.mkdir(parents=True, exist_ok=True)
        return _set_up(root, options)
    except (SetUpFailed, SetUpRuns, UvMissing) as error:
        print(plain(str(error)[:1].upper() + str(error)[1:]), file=sys.stderr)
        return EXIT_CANNOT_RUN
    except OSError as error:
        print(plain(f"The folder beside {root} cannot be used: {error}"), file=sys.stderr)
        return EXIT_STATE_FOLDER
    except KeyboardInterrupt:
        print("\nStopped. Nothing was changed.", file=sys.stderr)
        return 128 + signal.SIGINT


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """Exit through every `finally`, so that uv and what it began to make go, too."""
    raise SystemExit(128 + signal.SIGTERM)


def _set_up(root: Path, options: argparse.Namespace) -> int:
    reporter = Reporter([terminal_sink(), file_sink(root)])
    if options.python is not None:
        process = SetUpProcess(root, Request(python=options.python))
        return _finish(reporter, lambda: process.take(options.python, reporter))
    wheels = None if options.wheels is None else options.wheels.expanduser().absolute()
    process = SetUpProcess(root, Request(options.backend or "", wheels))
    _print_gpus(process.gpus)
    wants_more = options.force or options.backend or options.wheels
    if not wants_more and _works(root, process):
        return EXIT_OK
    prospect = process.prospect()
    for line in plan_lines(prospect, process):
        print(plain(line))
    if options.plan:
        return EXIT_OK if prospect.plan.builds and prospect.has_room else EXIT_CANNOT_RUN
    if not (options.yes or not prospect.plan.builds or confirm("Go on?")):
        print("Nothing was changed.")
        return EXIT_OK
    return _finish(reporter, lambda: process.carry_out(prospect, reporter))


def _works(root: Path, process: SetUpProcess) -> bool:
    """Say so and return True where the Python of the scripts does already what can be had."""
    plan = process.plan()
    wanted = plan.builds[0].device if plan.builds else CPU
    python = chosen_interpreter(root)
    verdict = process.try_present(python, wanted)
    print(plain(f"Now      {python.executable or 'no Python'}: {verdict.sentence}"))
    for note in verdict.notes:
        print(plain(f"         {note}"))
    if verdict.device != wanted or verdict.notes:
        return False
    why = "" if plan.wants_gpu else f": {plan.reason}. {plan.advice}".rstrip()
    print(plain(f"Plan     nothing to do{why}"))
    print("         --force makes an environment all the same")
    return True


def _finish(reporter: Reporter, act: Callable[[], Choice]) -> int:
    """Carry a set-up out and say how it ended. Raises what ``act`` raises."""
    choices: list[Choice] = []

    def once() -> str:
        choices.append(act())
        return choices[0].reason

    reporter.carry_out(once)
    choice = choices[0]
    print(plain(f"Done. Scripts run with {choice.python} on {choice.device}. {_DONE}"))
    return EXIT_OK


def _reset(root: Path) -> int:
    environments = Environments(root)
    if environments.choice() is None:
        print("The agent's own Python runs the scripts; there was nothing to reset.")
        return EXIT_OK
    with environments.locked():
        environments.forget()
    print("The agent's own Python runs the scripts, from the next task on.")
    print(plain(f"The environments go then, too; they lie in {environments.root}."))
    return EXIT_OK


def _print_gpus(gpus: Sequence[Gpu]) -> None:
    if not gpus:
        print("GPU      none was found")
    for gpu in gpus:
        print(plain(f"GPU      {gpu_text(gpu)}"))


def gpu_text(gpu: Gpu) -> str:
    """Return a GPU with what decides on its torch."""
    parts = [gpu.name]
    if gpu.memory_bytes:
        parts.append(words.size(gpu.memory_bytes))
    if gpu.driver:
        parts.append(f"driver {gpu.driver}")
    if gpu.capability is not None:
        parts.append("compute capability {}.{}".format(*gpu.capability))
    if gpu.architecture and gpu.architecture not in gpu.name:
        parts.append(gpu.architecture)
    return ", ".join(parts)


def plan_lines(prospect: Prospect, process: SetUpProcess) -> Iterator[str]:
    """Yield what would be done, what it takes, and why."""
    plan = prospect.plan
    if not plan.builds:
        yield f"Plan     nothing: {plan.reason}. {plan.advice}"
        return
    first, *others = plan.builds
    yield f"Plan     torch {TORCH_PIN} for {first.name}: {plan.reason}"
    if plan.advice:
        yield f"         {plan.advice}"
    if others:
        names = ", then ".join(build.name for build in others)
        yield f"         if that does not work: {names}"
    wheels = process.request.wheels
    if prospect.fetches_python:
        yield f"Python   none is here that fits: Python {FETCHED_PYTHON} is fetched, too"
    fetched = "nothing" if wheels else f"about {words.size(prospect.download_bytes)}"
    room = "" if prospect.has_room else ": too little"
    yield (
        f"Size     {fetched} to download, about {words.size(prospect.disk_bytes)} on disk; "
        f"{words.size(prospect.free_bytes)} are free{room}"
    )
    where = f", from {wheels}" if wheels else ""
    yield f"Place    {process.environments.root}, by {process.uv.program}{where}"


def is_interactive() -> bool:
    """Return whether a person at a terminal can be asked."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def confirm(question: str) -> bool:
    """Ask the person at the terminal; without one the answer is no, with a word on why."""
    if not is_interactive():
        print(f"{question} Nobody is there to ask: --yes says yes.")
        return False
    try:
        answer = input(f"{question} [Y/n] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("", "y", "yes")


def _backend(text: str) -> str:
    if not _BACKEND.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no build. Write cpu, or cu130, or rocm7.1, as PyTorch names them."
        )
    return text


def _folder(text: str) -> Path:
    if not Path(text).expanduser().is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xeenet-worker setup",
        allow_abbrev=False,
        description="Make a Python for the scripts whose torch can use this machine's GPU. The "
        "plan is shown first; what works now stays until the new one has worked.",
        epilog="uv's own variables hold, for example UV_CACHE_DIR, UV_OFFLINE and those of "
        "indexes. Exit codes: 0 done, 3 a folder cannot be used, 5 nothing was changed because it "
        "did not work.",
    )
    add = parser.add_argument
    add("--yes", action="store_true", help="do not ask")
    add("--plan", action="store_true", help="show what would be done, then end")
    add("--force", action="store_true", help="also where the present torch works")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--python", type=Path, metavar="PATH", help="use this Python as it is")
    source.add_argument(
        "--wheels",
        type=_folder,
        metavar="FOLDER",
        help="fetch nothing: take torch and what it needs from the wheels in this folder",
    )
    source.add_argument("--reset", action="store_true", help="use the agent's own Python again")
    add("--backend", type=_backend, help="the build to try first: cpu, cu130, rocm7.1")
    place = f"the agent's state folder (default: {HOME_VARIABLE}, or the usual place)"
    add("--state-dir", type=Path, help=place)
    return parser
