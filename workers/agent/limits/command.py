"""``xeenet-worker limits`` and ``presence``: beside a running agent, without its lock.

xeenet-worker limits                      what is allowed now, and which rule decides
xeenet-worker limits set threads=2 hours=22:00-07:00 battery=pause
xeenet-worker limits reset                no rules
xeenet-worker presence                    tell an agent that runs as a service of the person
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from workers.agent.exits import EXIT_OK, EXIT_STATE_FOLDER, EXIT_USAGE
from workers.agent.files import read_regular
from workers.agent.limits import session_helper
from workers.agent.limits.decisions import Decision, Moment, Past, decide, without_rules
from workers.agent.limits.facts import Facts
from workers.agent.limits.limiter import NOW_FILE_NAME, Machine, describe
from workers.agent.limits.options import machine_defaults
from workers.agent.limits.rules import (
    SPELLINGS,
    Rules,
    RulesError,
    as_values,
    changed,
    check_machine,
)
from workers.agent.limits.rules_file import load, store
from workers.agent.limits.words import pairs, report_lines
from workers.agent.plain_text import plain
from workers.agent.running.hardware import usable_memory_bytes
from workers.agent.state import HOME_VARIABLE, default_state_folder

_FRESH_SECONDS: Final = 30.0
_LOAD_SECONDS: Final = 1.0  # for a look at the load where no agent runs
_MAX_BYTES: Final = 64 * 1024


def limits_command(words: Sequence[str]) -> int:
    """Show or change the rules as the words after "limits" say; return the exit code."""
    return _run(_limits, _limits_parser().parse_args(list(words)))


def presence_command(words: Sequence[str]) -> int:
    """Tell a service of the person until Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="xeenet-worker presence",
        allow_abbrev=False,
        description="Tell an agent that runs as a service, by its state folder, whether you are "
        "there. Start it in your session.",
    )
    _add_state_folder(parser)
    return _run(_tell_presence, parser.parse_args(list(words)))


def _run(command: Callable[[Path, argparse.Namespace], int], options: argparse.Namespace) -> int:
    root = Path(options.state_dir or default_state_folder()).expanduser().absolute()
    try:
        return command(root, options)
    except RulesError as error:
        print(plain(error), file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(plain(f"The state folder {root} cannot be used: {error}"), file=sys.stderr)
        return EXIT_STATE_FOLDER


def _limits_parser() -> argparse.ArgumentParser:
    rules = "\n".join(f"  {word + '=':14}{rule.help}" for word, rule in SPELLINGS.items())
    parser = argparse.ArgumentParser(
        prog="xeenet-worker limits",
        allow_abbrev=False,
        description="Show or change what the agent on this machine may use, while it runs.",
        epilog=f"rules:\n{rules}\n\nA rule with =off is taken away.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=("set", "reset"), help="without: show")
    parser.add_argument("rules", nargs="*", metavar="RULE=VALUE")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_state_folder(parser)
    return parser


def _add_state_folder(parser: argparse.ArgumentParser) -> None:
    help_text = f"the agent's state folder (default: {HOME_VARIABLE}, or the usual place)"
    parser.add_argument("--state-dir", type=Path, help=help_text)


def _tell_presence(root: Path, _options: argparse.Namespace) -> int:
    if not root.is_dir():
        raise FileNotFoundError(f"{root} does not exist")
    seen = session_helper.Observer().look()
    if seen["idle_seconds"] is None:
        print(f"Your presence cannot be known here: {seen['source']}.", file=sys.stderr)
        return EXIT_USAGE
    print(f"{seen['source']} tells {root} whether you are here. Ctrl-C ends that.")
    return session_helper.main([str(root / session_helper.FILE_NAME)])


def _limits(root: Path, options: argparse.Namespace) -> int:
    if options.action == "reset":
        if options.rules:
            raise RulesError("reset takes no rules. To take one away: limits set RULE=off")
        root.mkdir(parents=True, exist_ok=True)
        store(root, Rules())
    elif options.action == "set":
        rules = changed(load(root), pairs(options.rules), now_seconds=time.time())
        check_machine(rules, usable_memory_bytes())
        root.mkdir(parents=True, exist_ok=True)
        store(root, rules)
    try:
        rules, problem = load(root), ""
    except RulesError as error:
        rules, problem = Rules(), str(error)
    agent = None if options.action else running_agent(root)
    report = agent or _without_agent(root, rules, problem)
    if options.json:
        values = {"rules": as_values(rules), "problem": problem, "now": report}
        print(json.dumps({**values, "agent_runs": agent is not None}, indent=2))
        return EXIT_OK
    print("An agent runs here." if agent is not None else "No agent runs here now.")
    for line in report_lines(rules, report, problem):
        print(plain(line))
    if options.action and _agent_is_there(root):
        print("The agent that runs here follows within seconds.")
    return EXIT_OK


def running_agent(root: Path) -> dict[str, Any] | None:
    """Return what the agent on this state folder wrote last; None when none has lately."""
    try:
        content = read_regular(root / NOW_FILE_NAME, _MAX_BYTES)
        value = json.loads(content)
        is_fresh = abs(time.time() - float(value["at"])) <= _FRESH_SECONDS
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return value if is_fresh else None


def _agent_is_there(root: Path) -> bool:
    return running_agent(root) is not None


def _without_agent(root: Path, rules: Rules, problem: str) -> dict[str, Any]:
    """Return what an agent that began now would be allowed."""
    defaults = machine_defaults()
    if problem:
        return describe(without_rules(defaults, problem), Facts(), {})
    machine = Machine(root)
    try:
        time.sleep(_LOAD_SECONDS)
        facts = machine.facts(rules)
    finally:
        machine.stop()
    moment = Moment(dt.datetime.now(dt.UTC), time.monotonic())
    decision: Decision = decide(rules, facts, defaults, Past(), moment)[0]
    return describe(decision, facts, {})
