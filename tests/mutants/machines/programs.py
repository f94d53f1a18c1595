"""Guards of the agent as a program of its own, and of the wheel that a server hands out."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, of_agent

_TESTS: Final = "tests/agent/test_executables.py"

PROGRAMS: Final = (
    of_agent(
        "program: scripts load the folder's libraries",
        "executables.py",
        "        if before:\n            os.environ[name] = before\n",
        "        if before:\n            os.environ[name] = f'/opt:{before}'\n",
        _TESTS,
        "libraries",
    ),
    of_agent(
        "program: the launcher's variables reach other programs",
        "executables.py",
        "        del os.environ[name]\n",
        "        pass\n",
        _TESTS,
        "libraries",
    ),
    of_agent(
        "program: it runs anybody's files",
        "executables.py",
        "return (words[2], 2) if is_ours and ",
        "return (words[2], 2) if ",
        _TESTS,
        "helpers",
    ),
    of_agent(
        "program: without a Python it tries all the same",
        "running/hardware.py",
        "    if python == NO_PYTHON:\n",
        "    if False:\n",
        _TESTS,
        "frozen",
    ),
    Mutant(
        "wheel: an installed server hands out what its installer wrote",
        "workers/joining/program.py",
        " and path.name in _INSTALLERS):\n",
        " and False):\n",
        ("tests/tools/test_wheels.py", "-k", "hands_out"),
    ),
    Mutant(
        "wheel: the agent's files are in both",
        "pyproject.toml",
        '"/workers/__init__.py", "/workers/agent", ',
        '"/workers/__init__.py", ',
        ("tests/tools/test_wheels.py", "-k", "one_of_the_two"),
    ),
)
