"""Builds the images with buildah, on a base that mmdebstrap makes, in a storage of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.processes import ROOT

SUITE: Final = "bookworm"
BASE: Final = "localhost/xeenet-base"
HERE: Final = Path(__file__).parent
# Who runs inside the two images.
UID: Final = 10001
PROGRAMS: Final = {
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "ip": "iproute2",
}
_PIP_KEYS: Final = ("index-url", "extra-index-url", "find-links", "trusted-host", "constraint")


class Failed(Exception):
    """Something did not do what it should; the message says what."""


@dataclass(frozen=True)
class Built:
    """One image: its name, its bytes and the seconds that building it took."""

    name: str
    bytes_on_disk: int
    seconds: float


class Storage:
    """Images and containers of buildah in one folder."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._buildah = ["buildah", "--root", str(place / "root"), "--runroot", str(place / "run")]

    def words(self, command: str, *words: str | Path) -> list[str]:
        """Return the words of one command of buildah."""
        return [*self._buildah, command, *map(str, words)]

    def run(self, command: str, *words: str | Path) -> str:
        """Run one command of buildah to its end; return what it prints. Raises `Failed`."""
        return run(self.words(command, *words))

    def config(self, image: str) -> dict[str, Any]:
        """Return what an image says of itself: User, Env, Cmd, Entrypoint, Healthcheck."""
        inspected = json.loads(self.run("inspect", "--type", "image", image))
        config: dict[str, Any] = inspected["Docker"]["config"]
        return config

    def build(self, name: str, file: Path, context: Path, *words: str) -> Built:
        """Build one image; return its size and time. Raises `Failed`."""
        started = time.monotonic()
        command = ["--isolation", "chroot", "--format", "docker", "--layers", "--tag", name]
        print(f"building {name}…", flush=True)
        self.run("build", *command, "--file", file, *words, context)
        seconds = time.monotonic() - started
        return Built(name, self.size(name), seconds)

    def has(self, image: str) -> bool:
        """Return whether an image is there, from this run or an earlier one."""
        return bool(self.run("images", "--quiet", "--filter", f"reference={image}").strip())

    def size(self, name: str) -> int:
        """Return the bytes of all files of an image, on the machine's disk."""
        container = self.run("from", name).strip()
        try:
            folder = self.run("mount", container).strip()
            return int(run(["du", "--bytes", "--summarize", folder]).split()[0])
        finally:
            self.run("rm", container)


def run(words: Sequence[str | Path]) -> str:
    """Run a program to its end; return what it prints. Raises `Failed` with its last lines."""
    answer = subprocess.run(
        list(map(str, words)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        last = "\n".join((answer.stdout + answer.stderr).splitlines()[-30:])
        raise Failed(f"{' '.join(map(str, words))}: status {answer.returncode}\n{last}")
    return answer.stdout


def what_is_missing() -> str:
    """Return why images cannot be built on this machine; "" when they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "make images needs Linux and root: it makes a base system and mounts images."
    missing = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    return f"Install what it builds with: apt-get install {' '.join(missing)}" if missing else ""


def make_base(storage: Storage, work: Path) -> Built:
    """Make a Debian with Python, in place of the image that Containerfile names.

    One of an earlier run stays, and with it every layer on it that has not changed.
    """
    if storage.has(BASE):
        return Built(BASE, storage.size(BASE), 0.0)
    started = time.monotonic()
    print(f"making {BASE} from Debian's packages ({SUITE})…", flush=True)
    include = "--include=python3,python3-venv,ca-certificates"
    run(["mmdebstrap", "--quiet", "--variant=minbase", include, SUITE, work / "base.tar"])
    file = work / "base.Containerfile"
    file.write_text("FROM scratch\nADD base.tar /\n")
    built = storage.build(BASE, file, work)
    return Built(BASE, built.bytes_on_disk, time.monotonic() - started)


def packages_of_this_machine(work: Path) -> list[str]:
    """Return the options that let pip inside a build find what this machine's pip finds.

    Folders with packages and certificates are mounted; nothing of them stays in an image.
    """
    listed = run([sys.executable, "-m", "pip", "config", "list"])
    values: dict[str, list[str]] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = key.rsplit(".", 1)[1] if "." in key else key
        if name in _PIP_KEYS:
            values.setdefault(name, []).extend(value.strip("'").replace("\\n", " ").split())
    unique = {name: list(dict.fromkeys(words)) for name, words in values.items()}
    lines = [f"{name} = {' '.join(words)}\n" for name, words in unique.items()]
    config = work / "pip.conf"
    config.write_text("[global]\n" + "".join(lines))
    places = {word.removeprefix("file://") for words in unique.values() for word in words}
    folders = {top for place in places if place.startswith("/") and (top := _existing(place))}
    mounts = {"/etc/ssl/certs", *map(str, folders)}
    options = [f"--volume={path}:{path}:ro" for path in sorted(mounts)]
    return [*options, f"--volume={config}:/etc/pip.conf:ro"]


def _existing(place: str) -> Path | None:
    """Return a folder, or the folder of a file or of an index's list; None when it is not there."""
    path = Path(place)
    if path.name == "simple":  # its files lie beside it
        path = path.parent
    return path if path.exists() else None


def build_all(storage: Storage, work: Path, torch: str) -> list[Built]:
    """Build base, both images and the stand-ins. Raises `Failed`."""
    packages = packages_of_this_machine(work)
    built = [make_base(storage, work)]
    product = [*packages, f"--build-arg=BASE={BASE}"]
    for target, more in (("server", []), ("worker", [f"--build-arg=TORCH={torch}"])):
        name = f"localhost/xeenet-{target}"
        words = [*product, *more, f"--target={target}"]
        built.append(storage.build(name, ROOT / "Containerfile", ROOT, *words))
    for target in ("database", "proxy"):
        words = [f"--build-arg=BASE={BASE}", f"--target={target}"]
        name = f"localhost/xeenet-stand-in-{target}"
        built.append(storage.build(name, HERE / "stand-ins.Containerfile", HERE, *words))
    return built
