"""The commands of ``dev.py``. Each is a function of its arguments and returns an exit status."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools import audit, locks, packages, suite
from devtools.environment import (
    LEVELS,
    Environment,
    SetupError,
    child_variables,
    replace_process,
    run,
    say,
)

Arguments = Sequence[str]
# Settings of an imaginary production, as a careful operator would set them, for check --deploy.
PRODUCTION = {
    "XEENET_ENV": "production",
    "DEBUG": "false",
    "ALLOWED_HOSTS": "xeenet.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://xeenet.example.org",
    "DATABASE_URL": "postgresql://xeenet@localhost/xeenet",
}


@dataclass(frozen=True)
class Command:
    """One command; ``level`` is what must be installed before it runs (None: nothing)."""

    name: str
    summary: str
    action: Callable[[Environment, Arguments], int]
    level: str | None


def demo(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the demo: server, q-cluster, agents, one campaign."""
    replace_process([environment.python, "manage.py", "demo", *arguments])


def serve(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the server and its q-cluster."""
    replace_process([environment.python, "manage.py", "serve", *arguments])


def worker(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with a worker agent."""
    replace_process([environment.python, "-m", "workers.agent", *arguments])


def bench(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with a part of the benchmark; without arguments it lists the parts."""
    replace_process([environment.python, "-m", "benchmarks.speed", *arguments])


def bench_pages(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the benchmark of the pages."""
    replace_process([environment.python, "-m", "benchmarks.bench_pages", *arguments])


def honesty(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the simulation of races whose truth is known."""
    replace_process([environment.python, "-m", "benchmarks.honesty", *arguments])


def chaos(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the chaos run: inject faults, check that nothing was lost."""
    replace_process([environment.python, "-m", "tests.chaos", *arguments])


def engines(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the trial of Slurm, Ray and the manifests for Kubernetes."""
    replace_process([environment.python, "-m", "tests.engines", *arguments])


def mutants(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the mutant run: remove guards in copies, see which test fails."""
    replace_process([environment.python, "-m", "tests.mutants", *arguments])


def fuzz(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the fuzz run: send valid and invalid requests to the API."""
    replace_process([environment.python, "-m", "tests.fuzz", *arguments])


def desktop_check(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the check of window and tray icon on a screen nobody sees."""
    replace_process([environment.python, "-m", "tests.agent.desktop.check", *arguments])


def build_packages(environment: Environment, arguments: Arguments) -> int:
    """Build the wheels and the folder, and let each run real tasks where nothing is installed."""
    return packages.packages(environment, arguments)


def images(environment: Environment, arguments: Arguments) -> int:
    """Replace this process with the build of the images, which then run the services for real."""
    replace_process([environment.python, "-m", "tests.images", *arguments])


def test(environment: Environment, arguments: Arguments) -> int:
    """Run the test suite on both databases."""
    return suite.run_suite(environment, arguments)


def quick(environment: Environment, arguments: Arguments) -> int:
    """Run lint, types and the quick tests; return the worst status. Arguments go to pytest."""
    statuses = {
        "lint": lint(environment, ()),
        "types": types(environment, ()),
        "tests": suite.run_quick(environment, arguments),
    }
    if failed := [name for name, status in statuses.items() if status != 0]:
        say(f"failed: {', '.join(failed)}")
    return max(statuses.values())


def lint(environment: Environment, arguments: Arguments) -> int:
    """Check style, formatting and the import borders."""
    paths = arguments or ["."]
    style = _all_of(
        environment, ["-m", "ruff", "check", *paths], ["-m", "ruff", "format", "--check", *paths]
    )
    # import-linter is the only tool that cannot be run with `python -m`.
    borders = run([environment.python.with_name("lint-imports"), "--no-cache"])
    return max(style, borders)


def format_code(environment: Environment, arguments: Arguments) -> int:
    """Format the code and fix what ruff can fix."""
    paths = arguments or ["."]
    return _all_of(
        environment, ["-m", "ruff", "check", "--fix", *paths], ["-m", "ruff", "format", *paths]
    )


def types(environment: Environment, arguments: Arguments) -> int:
    """Check types; without arguments, in every package."""
    return _all_of(environment, ["-m", "mypy", *arguments])


def check(environment: Environment, arguments: Arguments) -> int:
    """Check for missing migrations, and for settings unfit for production."""
    if arguments:
        raise SetupError("check takes no arguments.")
    missing = run([environment.python, "manage.py", "makemigrations", "--check", "--dry-run"])
    variables = child_variables(PRODUCTION | {"SECRET_KEY": secrets.token_urlsafe(64)})
    deploy = run(
        [environment.python, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        variables=variables,
    )
    return max(missing, deploy)


def lock(environment: Environment, arguments: Arguments) -> int:
    """Resolve all pins again; ``--upgrade`` moves each to the newest release in its range."""
    if not set(arguments) <= {"--upgrade"}:
        raise SetupError("lock takes only --upgrade.")
    return locks.write_locks(environment, upgrade="--upgrade" in arguments)


def audit_packages(environment: Environment, arguments: Arguments) -> int:
    """Look up the pinned packages in public advisories."""
    if not set(arguments) <= {"--required"}:
        raise SetupError("audit takes only --required: no answer is then a failure, too.")
    return audit.audit_locks(environment, required="--required" in arguments)


def setup(environment: Environment, arguments: Arguments) -> int:
    """Only install the environment; the argument is the level, by default ``dev``."""
    level = arguments[0] if arguments else "dev"
    if level not in LEVELS or len(arguments) > 1:
        raise SetupError(f"setup takes one level: {', '.join(LEVELS)}.")
    environment.ensure(level)
    return 0


def show_help(_environment: Environment, _arguments: Arguments) -> int:
    """List the commands."""
    width = max(map(len, COMMANDS))
    print("python dev.py COMMAND [ARGUMENT…]    or    make COMMAND ARGS='…'\n")
    for command in COMMANDS.values():
        print(f"  {command.name:<{width}}  {command.summary}")
    return 0


def _all_of(environment: Environment, *commands: Sequence[str | Path]) -> int:
    """Run every command with the environment's Python, whatever fails; return the worst status."""
    return max([run([environment.python, *command]) for command in commands])


COMMANDS = {
    command.name: command
    for command in (
        Command(
            "demo", "a real campaign, server to leaderboard (--exit: then stop)", demo, "runtime"
        ),
        Command("quick", "lint, types, tests without browser, torch, servers", quick, "dev"),
        Command("test", "the suite on SQLite and PostgreSQL (ARGS go to pytest)", test, "dev"),
        Command("serve", "web server and q-cluster, until Ctrl-C", serve, "runtime"),
        Command("worker", "a worker agent (--server URL --token TOKEN)", worker, "worker"),
        Command("lint", "ruff and the import borders", lint, "dev"),
        Command("types", "mypy, strict", types, "dev"),
        Command("check", "missing migrations, production settings", check, "runtime"),
        Command("format", "ruff format, and fix what ruff can fix", format_code, "dev"),
        Command("bench", "http, fleet, growth, training: measure a part", bench, "dev"),
        Command("bench-pages", "measure the pages with up to 100,000 results", bench_pages, "dev"),
        Command("honesty", "how often a race names a false champion", honesty, "runtime"),
        Command("chaos", "break everything for 10 minutes, prove nothing is lost", chaos, "dev"),
        Command("engines", "agents on Slurm and Ray for real, a node killed", engines, "dev"),
        Command("mutants", "take guards out one by one; a test must notice", mutants, "dev"),
        Command("fuzz", "many requests from the OpenAPI document (--examples N)", fuzz, "dev"),
        Command("desktop-check", "the worker's window and icon for real", desktop_check, "dev"),
        Command("packages", "the agent's wheel and folder: build, try out", build_packages, "dev"),
        Command("images", "the container images: build, run every service", images, "dev"),
        Command("lock", "pin all packages anew (--upgrade: newest in range)", lock, "dev"),
        Command(
            "audit",
            "known flaws of the pinned packages (needs the internet)",
            audit_packages,
            "dev",
        ),
        Command("setup", "environment and packages only (worker, runtime, dev)", setup, None),
        Command("help", "this list", show_help, None),
    )
}


def main(arguments: Arguments) -> int:
    """Run the command; usage and set-up errors print one line on stderr and return 2."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        arguments = ["help"]
    command = COMMANDS.get(arguments[0])
    if command is None:
        print(
            f"dev.py: no command {arguments[0]!r}; there are {', '.join(COMMANDS)}.",
            file=sys.stderr,
        )
        return 2
    environment = Environment()
    try:
        if command.level is not None:
            environment.ensure(command.level)
        return command.action(environment, arguments[1:])
    except SetupError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
