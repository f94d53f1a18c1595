"""The virtual environment: made once, filled from the locks, left alone while they are unchanged.

Three levels, each holding the one before it: ``worker`` (the agent and torch), ``runtime`` (and
the server), ``dev`` (and the tools). A stamp in ``.venv`` says which level of which locks is
installed; without a true stamp pip runs again.
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
# Another project's settings, exported in the caller's shell, would win over ours.
FOREIGN_VARIABLES = ("DJANGO_SETTINGS_MODULE", "PYTHONHOME", "PYTHONPATH")


class SetupError(Exception):
    """Set-up cannot go on; the message says what, why and what to do, in one line."""


class Environment:
    """The virtual environment of one checkout."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.stamp = self.folder / "xeenet-installed.json"

    @property
    def python(self) -> Path:
        """The environment's interpreter, whether it exists yet or not."""
        on_windows = os.name == "nt"
        return self.folder / ("Scripts/python.exe" if on_windows else "bin/python")

    def lock_file(self, level: str) -> Path:
        """Return the lock that pins what ``level`` installs."""
        return self.root / "requirements" / f"{level}.txt"

    def fingerprint(self) -> str:
        """Return a hash over every lock and the environment's Python version.

        Over all locks, whatever the level: going to another commit and back must not leave a stamp
        that is true for one level and false for the packages.
        """
        digest = hashlib.sha256()
        for level in LEVELS:
            digest.update(self.lock_file(level).read_bytes())
        digest.update(self._python_version().encode())
        return digest.hexdigest()

    def installed_level(self) -> str | None:
        """Return the highest level installed from exactly these locks, or None."""
        try:
            stamp = json.loads(self.stamp.read_text())
            level = stamp["level"]
            return level if stamp["fingerprint"] == self.fingerprint() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def holds(self, level: str) -> bool:
        """Return whether ``level`` is installed and nothing needs to be done for it."""
        installed = self.installed_level()
        return installed in LEVELS and LEVELS.index(installed) >= LEVELS.index(level)

    def ensure(self, level: str) -> None:
        """Make the environment hold ``level``; two calls at once wait for each other.

        Raises SetupError with one line for the caller.
        """
        if self.holds(level):
            return
        with self._only_one_at_a_time():
            if self.holds(level):  # another call did it while we waited
                return
            if not self._is_usable():
                self._create()
            self.stamp.unlink(missing_ok=True)  # an interrupted install must not look complete
            self._install(level)
            stamp = {"level": level, "fingerprint": self.fingerprint()}
            self.stamp.write_text(json.dumps(stamp))

    def _python_version(self) -> str:
        """Return the version in ``pyvenv.cfg``, or an empty text when there is none."""
        with contextlib.suppress(OSError):
            for line in (self.folder / "pyvenv.cfg").read_text().splitlines():
                key, _, value = line.partition("=")
                if key.strip() in {"version", "version_info"}:
                    return value.strip()
        return ""

    def _is_usable(self) -> bool:
        """Return whether the environment's Python starts, is new enough and has pip.

        It stops starting, for example, when the system's Python was upgraded under it.
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
        """Hold the set-up lock of this checkout; the system frees it when we end, however."""
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
    """Print a line about what dev.py itself does."""
    print(f"[dev] {message}", flush=True)


def child_variables(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a child: ours, less what would mislead it, plus ``extra``."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    return kept | dict(extra or {})


def run(
    command: Sequence[str | Path], cwd: Path = ROOT, variables: Mapping[str, str] | None = None
) -> int:
    """Run ``command`` to its end and return its status, 128 + n when signal n ended it.

    Ctrl-C reaches it through the terminal; we only wait, so that its own cleaning up is seen.
    SIGTERM is handed on.
    """
    environment = child_variables() if variables is None else dict(variables)
    child = subprocess.Popen([str(part) for part in command], cwd=cwd, env=environment)

    def hand_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    previous = signal.signal(signal.SIGTERM, hand_on)
    try:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                status = child.wait()
                return status if status >= 0 else 128 - status
    finally:
        signal.signal(signal.SIGTERM, previous)


def replace_process(command: Sequence[str | Path], cwd: Path = ROOT) -> NoReturn:
    """Become ``command``, so that signals and the exit status are its own."""
    words = [str(part) for part in command]
    if os.name == "nt":  # exec does not keep the console there
        sys.exit(run(words, cwd=cwd))
    os.chdir(cwd)
    sys.stdout.flush()
    os.execve(words[0], words, child_variables())
