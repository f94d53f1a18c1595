"""``xeenet-worker``: start-up, signals and exit codes.

The exit codes are in `workers.agent.exits`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final, NoReturn

import stamina.instrumentation

from workers.agent import AGENT_VERSION, status_command
from workers.agent.card import find_card
from workers.agent.connection.client import Client
from workers.agent.console import end_well_when_closed
from workers.agent.delivery.outbox import Outbox
from workers.agent.desktop.command import desktop_command
from workers.agent.enrolment import find_credentials, rotate_token
from workers.agent.ephemeral.lifetime import Lifetime
from workers.agent.ephemeral.scratch import scratch_state
from workers.agent.equipping import (
    chosen_equipment,
    equipment,
    hardware_to_report,
    how_to_get_torch,
    tell,
    what_torch_lacks,
)
from workers.agent.exits import (
    EXIT_CANNOT_RUN,
    EXIT_OK,
    EXIT_STATE_FOLDER,
    EXIT_USAGE,
    StartError,
)
from workers.agent.fleet.command import fleet_command
from workers.agent.isolation import Containment, choose_containment
from workers.agent.leave.command import leave_command
from workers.agent.leave.goodbye import retire
from workers.agent.limits.command import limits_command, presence_command
from workers.agent.limits.limiter import Limiter
from workers.agent.limits.options import limiter_of
from workers.agent.log_tail import LogTail
from workers.agent.loop import Agent, AgentOptions
from workers.agent.options import MIB, parser, why_not_ephemeral
from workers.agent.page.command import open_command, show_opened
from workers.agent.page.desk import Desk
from workers.agent.page.for_card import ForCard
from workers.agent.page.opening import PageOpener
from workers.agent.page.service import PageService
from workers.agent.plain_text import PlainFormatter, log_uncaught_errors, plain
from workers.agent.processes.process_tree import adopt_orphans, kill_tagged
from workers.agent.running.hardware import usable_cpus
from workers.agent.secrecy import close_own_process, move_secrets_out_of_the_arguments
from workers.agent.service.command import service_command
from workers.agent.service.supervised import supervised_command
from workers.agent.setup.choose import (
    chosen_interpreter,
    remove_former,
    unused_gpus,
    with_note,
)
from workers.agent.setup.command import setup_command
from workers.agent.setup.environments import Environments
from workers.agent.setup.first_start import ready
from workers.agent.setup.progress import Watch
from workers.agent.state import StateFolder, StateFolderError, default_state_folder
from workers.agent.status.board import StatusBoard, this_process
from workers.agent.status.file import StatusFile
from workers.agent.status.history import History
from workers.agent.tasks.renewal import Equipment, Renewal
from workers.agent.tasks.runner import Runner, RunnerSettings
from workers.agent.work import Work

log = logging.getLogger("xeenet.agent")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent, or the command that comes first; return the exit code."""
    if arguments is None:  # started as a program, not called by the management command
        move_secrets_out_of_the_arguments()
        arguments = sys.argv[1:]
        if not arguments and getattr(sys, "frozen", False):  # its folder was opened, no shell
            arguments = ["desktop"]
    if arguments and (command := _COMMANDS.get(arguments[0])):
        return command(arguments[1:])
    close_own_process()
    options = parser().parse_args(arguments)
    _set_up_logging(options.log_level)
    if problem := why_not_ephemeral(options):
        log.error("%s", problem)
        return EXIT_USAGE
    lifetime = Lifetime(options.max_lifetime, options.exit_after_idle)
    try:
        signal.signal(signal.SIGTERM, _end_before_work)
        with _state_of(options) as state:
            return _run(options, state, lifetime)
    except StateFolderError as error:
        log.error("%s", error)  # noqa: TRY400 (for people)
        return EXIT_STATE_FOLDER
    except StartError as error:  # also an end that was asked for before there was work
        log.log(logging.ERROR if error.exit_code else logging.INFO, "%s", error)
        return error.exit_code
    except KeyboardInterrupt:  # before the agent's own handlers are in place
        return 128 + signal.SIGINT


def _state_of(options: argparse.Namespace) -> contextlib.AbstractContextManager[StateFolder]:
    """Return the agent's folder, locked as a context. Raises `StateFolderError`."""
    if options.ephemeral:
        return scratch_state()
    return StateFolder(options.state_dir or default_state_folder()).locked()


def _run(options: argparse.Namespace, state: StateFolder, lifetime: Lifetime) -> int:
    if options.rotate_token:
        return rotate_token(state)
    adopt_orphans()
    _sweep(state)
    if options.check:
        return _print_check(_checked(options, state))
    limiter = limiter_of(options, state.root)  # measures the load from now on
    tail, history = LogTail(), History(state.history)
    logging.getLogger("xeenet").addHandler(tail)
    who = this_process(AGENT_VERSION, slots=limiter.slots, ephemeral=options.ephemeral)
    board = StatusBoard(who, history)
    limiter.on_change = lambda now, rules: board.identify(
        slots=now.slots, threads=now.threads, memory_bytes=now.memory_bytes, rules=rules
    )
    file = StatusFile(state.status, board)
    file.start()
    desk = Desk(state.root, board, history, limiter, tail)
    page = PageService(state.root, desk)
    page.start()
    opener = PageOpener(page, state.root)
    if options.page:
        opener.open()
        show_opened(opener.address)
    watch = Watch(state.root, board)
    watch.start()
    try:
        return _work(options, state, board, limiter, desk, opener, lifetime)
    except BaseException as error:
        code = error.exit_code if isinstance(error, StartError) else EXIT_OK
        board.stopped(code, str(error) if code else "ended before it began")
        raise
    finally:
        watch.stop()
        page.stop()
        file.stop()
        logging.getLogger("xeenet").removeHandler(tail)


def _work(
    options: argparse.Namespace,
    state: StateFolder,
    board: StatusBoard,
    limiter: Limiter,
    desk: Desk,
    opener: PageOpener,
    lifetime: Lifetime,
) -> int:
    """Set up, then work until the agent ends; return its exit code. Raises `StartError`."""
    board.setting_up("checks torch and the sandbox")
    containment = _containment(options, state, board)
    _warn_if_unprotected_root(containment)
    equipped = equipment(options, containment)
    tell(board, equipped)
    board.identify(
        cpus=usable_cpus(),
        threads=limiter.decision.threads,
        memory_bytes=limiter.decision.memory_bytes,
        cold_because="asked for by --cold" if options.cold else "",
    )
    begin = functools.partial(_begin, options, state, board, limiter, desk, equipped, lifetime)
    work = Work(board, begin)
    show = None if options.log else find_card()
    is_over = threading.Event()
    try:
        if show is None:
            work.begin()  # SIGTERM ends it meanwhile, as it ends the set-up
        for number, end in _ends(work).items():
            signal.signal(number, end)
        end_well_when_closed(work.stop_now, is_over)
        return work.run() if show is None else show(work, ForCard(desk, opener))
    finally:
        is_over.set()
        work.close()


def _containment(
    options: argparse.Namespace, state: StateFolder, board: StatusBoard
) -> Containment:
    """Return how scripts run here, where it helps after a set-up of torch."""
    if options.ephemeral:  # the Python of the set-up belongs to the machine's own agent
        return _checked(options, state)
    return ready(
        state.root,
        board,
        lambda: choose_containment(options.isolation, state, chosen_interpreter(state.root)),
        asks=not (options.no_setup or options.simulate),
        agrees=options.yes and not options.no_setup,
    )


def _begin(
    options: argparse.Namespace,
    state: StateFolder,
    board: StatusBoard,
    limiter: Limiter,
    desk: Desk,
    equipped: Equipment,
    lifetime: Lifetime,
    gives_up: threading.Event,
    stack: contextlib.ExitStack,
) -> Agent:
    """Join the server, where that is still to be done, and return the agent for it.

    Raises `StartError`, also when it is given up.
    """
    board.setting_up("looks for its server")
    credentials = find_credentials(options, state, equipped.machine, board, gives_up, lifetime)
    name = credentials.name or options.name or socket.gethostname()
    board.identify(server=credentials.server_url, name=name)
    client = Client(credentials.server_url, credentials.token)
    stack.callback(client.close)
    if options.ephemeral:
        stack.callback(retire, credentials, client, board)
    runner_settings = RunnerSettings(
        simulate=bool(equipped.simulated_because),
        policy=equipped.policy,
        sandbox=equipped.sandbox,
        keep_failed=options.keep_failed,
        grant=limiter.grant,
        disk_bytes=int(options.disk_limit * MIB),
        dataset_bytes=int(options.dataset_limit * MIB),
        data_folder=options.data_dir.absolute() if options.data_dir else None,
        warm=not options.cold,
    )
    agent = Agent(
        client,
        Outbox(state.outbox, board),
        Runner(state, client, equipped.machine, runner_settings),
        equipped.hardware,
        AgentOptions(
            slots=limiter.slots,
            once=options.once,
            max_tasks=options.max_tasks,
            drain_seconds=options.drain_seconds,
            simulate=bool(equipped.simulated_because),
            isolation=equipped.isolation,
            accepts_uploaded_scripts=equipped.policy.uploaded_scripts,
            ephemeral=options.ephemeral,
            lifetime=lifetime,
        ),
        board,
        limiter,
    )

    def use(now: Equipment) -> None:
        """Show the equipment, and let go of that of before."""
        tell(board, now)
        board.torch_setup(None)  # it said that the Python would be used
        desk.attach(agent, now.policy, what_torch_lacks(now.machine))
        remove_former(state.root)

    if not (options.simulate or options.ephemeral):
        agent.renewal = Renewal(
            board, Environments(state.root).choice, lambda: chosen_equipment(options, state), use
        )
    desk.attach(agent, equipped.policy, what_torch_lacks(equipped.machine))
    log.info(
        "XeeNet worker %s, server %s, isolation %s%s",
        *(AGENT_VERSION, client.server_url, equipped.isolation),
        ", ephemeral" if options.ephemeral else "",
    )
    return agent


def _ends(work: Work) -> dict[int, Callable[..., None]]:
    """Return the signals that end the work, with what handles them."""
    ends: dict[int, Callable[..., None]] = {
        signal.SIGTERM: lambda *_: work.on_sigterm(),
        signal.SIGINT: lambda *_: work.on_interrupt(),
    }
    if (ctrl_break := getattr(signal, "SIGBREAK", None)) is not None:  # Windows
        ends[ctrl_break] = lambda *_: work.on_sigterm()
    hangup = getattr(signal, "SIGHUP", None)  # the terminal was closed; nohup ignores it
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        ends[hangup] = lambda *_: work.on_sigterm()
    return ends


def _end_before_work(_number: int, _frame: FrameType | None) -> NoReturn:
    """Exit through every `finally`, so that a torch check under way removes what it started."""
    raise SystemExit(EXIT_OK)


def _sweep(state: StateFolder) -> None:
    """Remove the processes and folders that a killed agent left behind on this state folder.

    Raises `StartError` when a process cannot be killed.
    """
    killed, survivors = kill_tagged(state.tag_prefix)
    if killed:
        log.warning("killed %d process(es) of a former start", killed)
    if survivors:
        raise StartError(
            f"Processes {survivors} of a former start cannot be killed. End them or restart the "
            "machine, then start again.",
            EXIT_CANNOT_RUN,
        )
    if removed := state.remove_stale_folders():
        log.warning("removed %d task folder(s) of a former start", removed)


def _warn_if_unprotected_root(containment: Containment) -> None:
    """Warn when scripts would run as root without a sandbox."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root and containment.sandbox is None:
        log.warning("scripts run as root and unprotected: give the agent an account of its own")


def _checked(options: argparse.Namespace, state: StateFolder) -> Containment:
    """Return how scripts run here, with a note on a GPU that they do not use."""
    python = chosen_interpreter(state.home)
    containment = choose_containment(options.isolation, state, python)
    return with_note(containment, state.home, unused_gpus(containment))


def _print_check(containment: Containment) -> int:
    machine = containment.machine
    print(json.dumps(hardware_to_report(containment), indent=2))
    print(f"Scripts run in isolation tier {containment.tier}.")
    if machine.can_train:
        devices = plain(", ".join(machine.hardware["devices"]))
        print(f"This machine can run tasks on: {devices}.")
        return EXIT_OK
    print(f"This machine cannot run tasks: {plain(machine.why_not)}. {how_to_get_torch()}")
    return EXIT_CANNOT_RUN


def _set_up_logging(level: str) -> None:
    logging.basicConfig(stream=sys.stderr, level=level.upper())
    # The handlers may be those of manage.py, which starts the agent inside its own process.
    formatter = PlainFormatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
    log_uncaught_errors(log)
    for library in ("httpx2", "httpcore2"):  # ten lines a request, which -v is not for
        logging.getLogger(library).setLevel(logging.WARNING)
    # Where structlog happens to be installed, stamina would otherwise log through it.
    stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])


_COMMANDS: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "status": status_command.main,
    "limits": limits_command,
    "presence": presence_command,
    "desktop": desktop_command,
    "leave": leave_command,
    "fleet": fleet_command,
    "service": service_command,
    "supervised": lambda words: supervised_command(words, main),
    "open": lambda words: open_command(words, main),
    "setup": setup_command,
}
