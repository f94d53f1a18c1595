"""Which program the agent starts: itself again, or a Python; also where it has no Python."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

import experiments
import workers.agent
from workers.agent import executables
from workers.agent.processes import guarded
from workers.agent.running import interpreter
from workers.agent.running.hardware import inspect_machine
from workers.agent.running.sandbox import SandboxUnavailable, find_sandbox
from workers.agent.service.program import this_program
from workers.agent.setup.uv import find_uv

AGENT = Path(workers.agent.__file__).parent
# The one door, and a plain file that the scripts' Python runs in the sandbox.
READERS = {"executables.py", "running/sandbox_probe.py"}


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What PyInstaller's launcher tells a program; return its folder."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/xeenet-worker/xeenet-worker")
    return tmp_path


def test_no_other_module_reads_which_program_runs() -> None:
    readers = set()
    for folder in (AGENT, Path(experiments.__file__).parent):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                is_read = isinstance(node, ast.Attribute) and node.attr in {"executable", "frozen"}
                if is_read and isinstance(node.value, ast.Name) and node.value.id == "sys":
                    readers.add(path.relative_to(folder).as_posix())
                imports = isinstance(node, ast.ImportFrom) and node.module == "sys"
                assert not imports, path
    assert readers <= READERS


def test_a_frozen_agent_starts_itself_and_offers_itself_to_nobody_as_a_python(
    frozen: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = "/opt/xeenet-worker/xeenet-worker"
    assert this_program(tmp_path).words == (program,)
    assert executables.own_python() == ""
    assert executables.own_executable() == program
    assert executables.pip_install("uv") == ""
    (frozen / "bin").mkdir()
    shipped = frozen / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    shipped.touch()
    assert find_uv() == str(shipped)
    # Without a Python on PATH there is none for scripts, and that is said.
    interpreter._on_path.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        machine = inspect_machine(tmp_path, "a-test")
        assert not machine.can_train
        assert "no Python" in machine.why_not
        if sys.platform.startswith("linux"):
            with pytest.raises(SandboxUnavailable):
                find_sandbox(tmp_path, tmp_path, "a-test")
    finally:
        interpreter._on_path.cache_clear()


def test_a_frozen_agent_runs_its_own_helpers_and_no_other_files(frozen: Path) -> None:
    guardian = frozen / "workers" / "agent" / "processes" / guarded._GUARDIAN.name
    words = executables.helper_words(guardian)[1:]
    assert executables.helper_of([*words, "3"], frozen) == (str(guardian), 2)
    module = executables.module_words("workers.agent.limits.session_helper")[1:]
    assert executables.helper_of(module, frozen) == (module[1], 1)
    for other in (
        ["-I", "-S", "/tmp/other.py"],
        ["-I", "-S", f"{frozen}/../other.py"],
        ["-I", "-S"],
        ["-m", "pip"],
        ["--server", "http://127.0.0.1:1"],
        [],
    ):
        assert executables.helper_of(other, frozen) is None, other


def test_other_programs_do_not_get_the_libraries_of_the_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/xeenet-worker/_internal:/owner/lib")
    monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", "/owner/lib")
    monkeypatch.setenv("LIBPATH", "/opt/xeenet-worker/_internal")
    monkeypatch.setenv("_PYI_PARENT_PROCESS_LEVEL", "1")
    executables.restore_environment()
    assert os.environ["LD_LIBRARY_PATH"] == "/owner/lib"
    assert not {name for name in os.environ if name.startswith("_PYI_") or name.endswith("_ORIG")}
    assert "LIBPATH" not in os.environ
