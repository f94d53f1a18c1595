"""Containers of the services of compose.yaml, run by buildah in a chroot.

All share one network that reaches nothing but itself, where every service's name is 127.0.0.1. What
such a container lacks of a real one: namespaces of processes and of users, and networks that keep
services apart. Its root can be written, so that is looked at afterwards.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import psutil

from tests.images.building import Failed, Storage
from tests.images.composed import Composed, Service
from tests.processes import ROOT

STOP_SECONDS: Final = 60.0
# What buildah gives to a container by itself.
_CAPABILITIES: Final = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
# What buildah itself puts into the root of a container.
_OF_BUILDAH: Final = ("etc/hosts", "etc/resolv.conf", "run/.containerenv", "run/secrets")


class Engine:
    """Starts services: what volumes, secrets and names they share."""

    def __init__(self, storage: Storage, composed: Composed, place: Path) -> None:
        self.storage = storage
        self.composed = composed
        self.place = place
        self._hosts = place / "hosts"
        names = " ".join(composed.services)
        self._hosts.write_text(f"127.0.0.1 localhost {names}\n")

    def container(self, name: str) -> Container:
        """Return a new container of a service, not started."""
        return Container(self, self.composed.services[name])

    def mounts(self, service: Service, root: Path, scratch: Path) -> list[str]:
        """Return the options for a service's volumes, secrets and empty folders."""
        options = [f"--volume={self._hosts}:/etc/hosts:ro"]
        for source, place, read_only in service.volumes:
            folder = ROOT / source if source.startswith(".") else self._volume(source, root, place)
            options.append(f"--volume={folder}:{place}{':ro' if read_only else ''}")
        for name in service.secrets:
            file = self.composed.secrets[name]
            options.append(f"--volume={file}:/run/secrets/{name}:ro")
        for place in service.tmpfs:
            folder = scratch / place.strip("/").replace("/", "-")
            folder.mkdir(parents=True)
            folder.chmod(0o1777)
            options.append(f"--volume={folder}:{place}")
        return options

    def _volume(self, name: str, root: Path, place: str) -> Path:
        """Return a named volume's folder; a new one belongs to whom the image says."""
        folder = self.place / "volumes" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            status = (root / place.lstrip("/")).stat()
            os.chown(folder, status.st_uid, status.st_gid)
            folder.chmod(status.st_mode & 0o7777)
        return folder


class Container:
    """One container of a service; leaving the context stops and removes it."""

    def __init__(self, engine: Engine, service: Service) -> None:
        self.service = service
        self._engine = engine
        self._storage = engine.storage
        self._config = self._storage.config(service.image)
        self._name = self._storage.run("from", service.image).strip()
        self._root = Path(self._storage.run("mount", self._name).strip()).resolve()
        self._scratch = engine.place / "scratch" / self._name
        self._mounts = engine.mounts(service, self._root, self._scratch)
        self.log = engine.place / f"{self._name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        with contextlib.suppress(Failed):
            self._storage.run("umount", self._name)
            self._storage.run("rm", self._name)
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def uid(self) -> int:
        """The account that the image runs as."""
        return int((self._config["User"] or "0").split(":")[0])

    def start(self, **more: str) -> None:
        """Start what compose.yaml or the image says, with some variables more."""
        entry = self._config["Entrypoint"] or []
        command = self.service.command or self._config["Cmd"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words([*entry, *command], more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run_to_end(self, seconds: float = 300.0) -> int:
        """Start it and wait until it has ended; return its exit status."""
        self.start()
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Wait until it has ended; return its exit status. Raises `Failed`."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.service.name} does not end\n{self.last_lines()}") from None

    def execute(self, *words: str, expect: int | None = 0) -> str:
        """Run a command beside what runs; return its output. Raises `Failed`."""
        answer = subprocess.run(
            self._words(words, {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if expect is not None and answer.returncode != expect:
            raise Failed(f"{' '.join(words)}: status {answer.returncode}\n{answer.stdout}")
        return answer.stdout

    def until_healthy(self, seconds: float) -> float:
        """Look with compose.yaml's check until it succeeds; return how long that took.

        Raises `Failed`.
        """
        started = time.monotonic()
        assert self.service.health is not None
        while True:
            try:
                self.execute(*self.service.health)
                return time.monotonic() - started
            except Failed as error:
                self.must_run()
                if time.monotonic() - started > seconds:
                    raise Failed(f"{error}\n{self.last_lines()}") from None
            time.sleep(0.5)

    def check_of_the_image(self) -> str:
        """Run the health check that the image itself has. Raises `Failed`."""
        kind, *words = self._config["Healthcheck"]["Test"]
        if kind != "CMD":
            raise Failed(f"{self.service.image}: a health check {kind!r} needs a shell")
        self.execute(*words)
        return " ".join(words)

    def must_run(self) -> None:
        """Raise `Failed` when it has ended."""
        if self._process is None or self._process.poll() is not None:
            raise Failed(f"{self.service.name} has ended\n{self.last_lines()}")

    def last_lines(self, lines: int = 30) -> str:
        """Return the last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def processes(self) -> list[psutil.Process]:
        """Return the processes in the container, the first one first."""
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._process.pid).children(recursive=True)
            return [child for child in children if not _is_of_buildah(child)]
        return []

    def stop(self) -> float:
        """Send SIGTERM to the first process, as an engine does; return the seconds to its end.

        Raises `Failed` when it does not end.
        """
        started = time.monotonic()
        self.processes()[0].send_signal(signal.SIGTERM)
        self.wait(STOP_SECONDS)
        return time.monotonic() - started

    def kill(self) -> None:
        """End whatever still runs in it."""
        if self._process is None:
            return
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def written(self) -> list[str]:
        """Return the files that were written into the root, which must stay as it is."""
        changes = _upper_folder(self._root)
        files = [path for path in changes.rglob("*") if path.is_file() or path.is_symlink()]
        names = [str(path.relative_to(changes)) for path in files]
        places = tuple(place.strip("/") for _, place, _ in self.service.volumes)
        return [name for name in names if not name.startswith((*_OF_BUILDAH, *places))]

    def _words(self, command: Sequence[str], more: dict[str, str]) -> list[str]:
        options = ["--isolation=chroot", "--no-hosts", f"--hostname={self.service.name}"]
        options += _capabilities(self.service)
        variables = self.service.environment | more
        options += [f"--env={name}={value}" for name, value in variables.items()]
        words = self._storage.words("run", *options, *self._mounts, self._name, "--", *command)
        return ["setpriv", "--no-new-privs", *words] if self.service.no_new_privileges else words


def _capabilities(service: Service) -> list[str]:
    """Return the options for what a service may do. buildah would drop ALL after it has added."""
    if service.cap_drop != ["ALL"]:
        return []
    left = [name for name in _CAPABILITIES if name not in service.cap_add]
    return [f"--cap-drop=CAP_{name}" for name in left]


def _is_of_buildah(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[0].startswith("buildah-")
    except (psutil.Error, IndexError):
        return True  # it has ended


def _upper_folder(root: Path) -> Path:
    """Return the folder that holds what differs from the image. Raises `Failed`."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if place == str(root) and kind == "overlay":
            return Path(dict(part.partition("=")[::2] for part in options.split(","))["upperdir"])
    raise Failed(f"{root} is no overlay")
