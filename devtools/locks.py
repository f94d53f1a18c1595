"""``dev.py lock``: pin all packages that satisfy the ranges in ``pyproject.toml``.

The locks contain no hashes, because the same release may come as different files: torch from PyPI
on one machine, from a local CPU-only build on the next. They contain no index either: each
machine's pip configuration decides where packages come from.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from devtools.environment import Environment, SetupError, child_variables, run, say
from devtools.wheels import AGENT, AGENT_FOLDER, build_wheel

# The locks, each with the extras of pyproject.toml that it pins: those of the levels that dev.py
# installs, and that of the server's image, which has no torch.
EXTRAS = {
    "worker": ("worker",),
    "server": ("server",),
    "runtime": ("worker", "server"),
    "dev": ("worker", "server", "dev"),
}
HEADER = """\
# Pinned for `{level}`: made by `python dev.py lock` from pyproject.toml, not edited by hand.
# No hashes: one release may come as different files (torch from PyPI or as a CPU-only build).
"""
FORBIDDEN = re.compile(r"^\s*(--|-[a-z] )|^(nvidia-(?!ml-py)|cuda|triton)|://", re.MULTILINE)


def tidy(text: str, level: str) -> str:
    """Return pip-compile's output with our header and without local version labels.

    ``torch==2.13.0+cpu`` may exist on this machine only; ``torch==2.13.0`` matches it and the
    release on PyPI. Our own wheel is no pin: a checkout runs its own files. Raises SetupError if
    the lock would still depend on this machine.
    """
    lines = [
        line
        for line in text.splitlines()
        if not line.lstrip().startswith("#") and not line.startswith(f"{AGENT}==")
    ]
    body = "\n".join(re.sub(r"^(\S+==[^+\s]+)\+\S+", r"\1", line) for line in lines if line)
    if match := FORBIDDEN.search(body):
        line = body[body.rfind("\n", 0, match.start()) + 1 :].lstrip("\n").splitlines()[0]
        raise SetupError(
            f"the {level} lock would hold {line!r}, which belongs to this machine only. "
            "Resolve where pip finds a CPU build of torch."
        )
    return HEADER.format(level=level) + body + "\n"


def write_locks(environment: Environment, upgrade: bool) -> int:
    """Resolve all locks and replace ``requirements/*.txt``; return pip-compile's status.

    The widest is resolved first and constrains the others, so that all agree on versions.
    ``upgrade`` lets every pin move to the newest release in its range.
    """
    binding = environment.lock_file("dev")
    with tempfile.TemporaryDirectory(prefix="xeenet-lock-") as name:
        wheels = Path(name)  # the agent's, which xeenet requires and no index has
        build_wheel(environment, environment.root / AGENT_FOLDER, wheels)
        for level in reversed(EXTRAS):
            path = environment.lock_file(level)
            say(f"resolving {path.relative_to(environment.root)}")
            command = _pip_compile(environment.python, path, level, wheels)
            if upgrade:
                command.append("--upgrade")
            if path != binding:
                command += ["--constraint", str(binding.relative_to(environment.root))]
            code = run(command, cwd=environment.root, variables=child_variables())
            if code != 0:
                return code
            path.write_text(tidy(path.read_text(), level))
    return 0


def _pip_compile(python: Path, output: Path, level: str, wheels: Path) -> list[str | Path]:
    command: list[str | Path] = [python, "-m", "piptools", "compile", "--quiet", "--strip-extras"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    command += ["--no-annotate", "--no-header", "--allow-unsafe", f"--output-file={output}"]
    command.append(f"--find-links={wheels}")
    command += [f"--extra={extra}" for extra in EXTRAS[level]]
    return [*command, "pyproject.toml"]
