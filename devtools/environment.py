"""The virtual environment: created once and installed from the locks whenever these change.

It has three levels, each including the previous one: ``worker`` (agent and torch), ``runtime``
(plus the server) and ``dev`` (plus the tools). A stamp in ``.venv`` records the installed level and
a fingerprint of the locks; if the stamp is missing or does not match, pip runs again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
LEVELS = ("worker", "runtime", "dev")
# Removed for children: another project's settings in the caller's shell would override ours.
FOREIGN_VARIABLES = ("DJANGO_SETTINGS_MODULE", "PYTHONHOME", "PYTHONPATH")


class SetupError(Exception):
    """A command cannot go on; the message says in one line what is wrong and what to do."""


class Environment:
    """The virtual environment of one checkout."""

    def __init__(self, root: Path = ROOT, name: str = ".venv") -> None:
        self.root = root
        self.folder = root / name
        self.stamp = self.folder / "xeenet-installed.json"

    @property
    def python(self) -> Path:
        """The path of the environment's interpreter, which may not exist yet."""
        on_windows = os.name == "nt"
        return self.folder / ("Scripts/python.exe" if on_windows else "bin/python")

    def lock_file(self, level: str) -> Path:
        """Return the lock file of ``level``."""
        return self.root / "requirements" / f"{level}.txt"

    def fingerprint(self) -> str:
        """Return a hash over every lock and the environment's Python version.

        It covers all locks, whatever the level. Otherwise, switching to another commit and back
        could leave a stamp that matches the lock of its level but not the installed packages.
        """
        digest = hashlib.sha256()
        for level in LEVELS:
            digest.update(self.lock_file(level).read_bytes())
        digest.update(self._python_version().encode())
        return digest.hexdigest()

    def installed_level(self) -> str | None:
        """Return the level that is installed from exactly these locks, or None."""
        try:
            stamp = json.loads(self.stamp.read_text())
            level = stamp["level"]
            return level if stamp["fingerprint"] == self.fingerprint() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def holds(self, level: str) -> bool:
        """Return whether ``level`` is installed and up to date."""
        installed = self.installed_level()
        return installed in LEVELS and LEVELS.index(installed) >= LEVELS.index(level)

    def ensure(self, level: str) -> None:
        """Install ``level`` unless it is up to date. Concurrent calls wait for each other.

        Raises SetupError.
        """
        if self.holds(level):
            return
        with self._only_one_at_a_time():
            if self.holds(level):  # another process installed it while we waited
                return
            if not self._is_usable():
                self._create()
            self.stamp.unlink(missing_ok=True)  # an interrupted install must not look complete
            self._install(level)
            stamp = {"level": level, "fingerprint": self.fingerprint()}
            self.stamp.write_text(json.dumps(stamp))

    def _python_version(self) -> str:
        """Return the version in ``pyvenv.cfg``, or "" if there is none."""
        with contextlib.suppress(OSError):
            for line in (self.folder / "pyvenv.cfg").read_text().splitlines():
                key, _, value = line.partition("=")
                if key.strip() in {"version", "version_info"}:
                    return value.strip()
        return ""

    def _is_usable(self) -> bool:
        """Return whether the environment's Python starts, is new enough and has pip.

        For example, it no longer starts after an upgrade of the system's Python.
        """
        probe = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
        try:
            answer = subprocess.run(
                [self.python, "-c", probe], capture_output=True, check=False, env=child_variables()
            )
        except OSError:
            return False
        return answer.returncode == 0

    def _create(self) -> None:
        if (
            importlib.util.find_spec("ensurepip") is None
            or importlib.util.find_spec("venv") is None
        ):
            raise SetupError(
                "this Python cannot make virtual environments. On Debian and Ubuntu: "
                f"apt-get install python3-venv (or python{sys.version_info[0]}."
                f"{sys.version_info[1]}-venv), then run this again."
            )
        say(f"making a virtual environment in {self.folder.relative_to(self.root)}")
        answer = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", self.folder],
            capture_output=True,
            text=True,
            check=False,
            env=child_variables(),
        )
        if answer.returncode != 0:
            reason = (answer.stderr or answer.stdout).strip().splitlines()[-1:]
            raise SetupError(f"could not make {self.folder}: {' '.join(reason)}")

    def _install(self, level: str) -> None:
        lock = self.lock_file(level).relative_to(self.root)
        say(f"installing {lock} (the first time this downloads PyTorch and takes minutes)")
        pip_install = (self.python, "-m", "pip", "install", "--disable-pip-version-check")
        code = run([*pip_install, "--requirement", lock], cwd=self.root)
        if code != 0:
            raise SetupError(
                f"pip could not install {lock} (status {code}, its reason is above). "
                "Run this again when the cause is gone."
            )

    @contextlib.contextmanager
    def _only_one_at_a_time(self) -> Iterator[None]:
        """Hold this checkout's set-up lock. The system releases it when this process ends."""
        path = self.root / ".xeenet" / "setup.lock"
        try:
            path.parent.mkdir(exist_ok=True)
            handle = path.open("a+b")
        except OSError as error:
            raise SetupError(
                f"cannot write in {self.root}: {error.strerror}. Use a folder that you own."
            ) from error
        with handle:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
            else:
                import fcntl

                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    say("waiting for another set-up in this folder to finish")
                    fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def say(message: str) -> None:
    """Print a message of dev.py itself."""
    print(f"[dev] {message}", flush=True)


def child_variables(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment without FOREIGN_VARIABLES and with ``extra``, for a child process."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    return kept | dict(extra or {})


def run(
    command: Sequence[str | Path], cwd: Path = ROOT, variables: Mapping[str, str] | None = None
) -> int:
    """Run ``command`` to its end and return its status, or 128 + n if signal n ended it.

    On Ctrl-C, which the command receives from the terminal itself, we keep waiting so that it can
    clean up. SIGTERM is passed on to it.
    """
    environment = child_variables() if variables is None else dict(variables)
    child = subprocess.Popen([str(part) for part in command], cwd=cwd, env=environment)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    previous = signal.signal(signal.SIGTERM, pass_on)
    try:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                status = child.wait()
                return status if status >= 0 else 128 - status
    finally:
        signal.signal(signal.SIGTERM, previous)


def replace_process(command: Sequence[str | Path], cwd: Path = ROOT) -> NoReturn:
    """Replace this process with ``command``, which then gets all signals and sets the status."""
    words = [str(part) for part in command]
    if os.name == "nt":  # on Windows, exec detaches from the console
        sys.exit(run(words, cwd=cwd))
    os.chdir(cwd)
    sys.stdout.flush()
    os.execve(words[0], words, child_variables())
