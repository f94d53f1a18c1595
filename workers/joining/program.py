"""The agent's program as a wheel, made from this server's own files.

A machine that gets it from here has the version that this server was tested with, and every script
of its catalog. It needs no checkout, and no package index has to know XeeNet. The wheel has the
files of the distribution `xeenet-worker`: agent, wire vocabulary and experiments, without Django.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import re
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import experiments
import workers

DISTRIBUTION: Final = "xeenet-worker"
# With it come torch, the card on a terminal and what reads NVIDIA's driver.
EXTRA: Final = "worker"
# What the agent imports of `workers`, beside its own folder.
SHARED_MODULES: Final = ("__init__", "calibration", "features", "protocol", "result_line")
_ROOT: Final = Path(workers.__file__).parent
_EXPERIMENTS: Final = Path(experiments.__file__).parent
# A zip file has no earlier time. A fixed one makes the same bytes in every process.
_ALWAYS: Final = (1980, 1, 1, 0, 0, 0)
_TAG: Final = "py3-none-any"


@dataclass(frozen=True)
class Program:
    """A wheel: its file name, its bytes, and their hash."""

    name: str
    content: bytes

    @functools.cached_property
    def sha256(self) -> str:
        """The hash that commands name, so that pip refuses other bytes."""
        return hashlib.sha256(self.content).hexdigest()


@functools.cache
def program() -> Program:
    """Return the wheel of this server's own agent; made once in each process."""
    stem = f"{DISTRIBUTION.replace('-', '_')}-{_version()}"
    info = f"{stem}.dist-info"
    files = dict(_files())
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: xeenet\nRoot-Is-Purelib: true\nTag: {_TAG}\n"
    ).encode()
    files[f"{info}/entry_points.txt"] = (
        f"[console_scripts]\n{DISTRIBUTION} = workers.agent.cli:main\n"
    ).encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _ALWAYS)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)
    return Program(f"{stem}-{_TAG}.whl", packed.getvalue())


def _files() -> Iterator[tuple[str, bytes]]:
    shared = [_ROOT / f"{name}.py" for name in SHARED_MODULES]
    for path in [*shared, *_sources(_ROOT / "agent"), *_sources(_EXPERIMENTS)]:
        folder = _ROOT if path.is_relative_to(_ROOT) else _EXPERIMENTS
        yield path.relative_to(folder.parent).as_posix(), path.read_bytes()


def _sources(folder: Path) -> list[Path]:
    """Return the files of a package, probes and scripts included, without compiled ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    )


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow([name, f"sha256={digest}", len(content)])
    rows.writerow([own_name, "", ""])
    return text.getvalue().encode()


def _version() -> str:
    """Return the agent's version. Read, because the server runs nothing of the agent."""
    text = (_ROOT / "agent" / "__init__.py").read_text()
    match = re.search(r'^AGENT_VERSION: Final = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise ValueError("workers/agent/__init__.py names no AGENT_VERSION")
    return match[1]


def _metadata() -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {DISTRIBUTION}",
        f"Version: {_version()}",
        "Summary: A worker of XeeNet: runs small training experiments for a server",
        "License: MIT",
        "Requires-Python: >=3.11",
        f"Provides-Extra: {EXTRA}",
        *(f"Requires-Dist: {requirement}" for requirement in _requirements()),
    ]
    return "\n".join(lines) + "\n"


def _requirements() -> list[str]:
    """Return what the agent requires: from this checkout, or from the installed package."""
    file = _ROOT.parent / "pyproject.toml"
    if file.exists():
        project = tomllib.loads(file.read_text())["project"]
        extra = [
            _with_marker(requirement) for requirement in project["optional-dependencies"][EXTRA]
        ]
        return [*project["dependencies"], *extra]
    installed = metadata.requires("xeenet") or []
    of_extra = re.compile(r"\bextra\s*==\s*['\"]([\w-]+)['\"]")
    return [
        requirement
        for requirement in installed
        if (match := of_extra.search(requirement)) is None or match[1] == EXTRA
    ]


def _with_marker(requirement: str) -> str:
    name, _, marker = requirement.partition(";")
    marker = f"({marker.strip()}) and " if marker.strip() else ""
    return f'{name.strip()}; {marker}extra == "{EXTRA}"'
