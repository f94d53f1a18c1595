"""The wheel `xeenet-worker` as this server hands it out, made from the server's own files.

A machine that gets it from here has the version that this server was tested with, and every script
of its catalog. It needs no checkout, and no package index has to know XeeNet. Which files it has is
written once, in `packaging/worker/pyproject.toml`. A checkout reads that; an installed server packs
the files of its own `xeenet-worker` again.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import workers

DISTRIBUTION: Final = "xeenet-worker"
# With it come torch, the card on a terminal and uv.
EXTRA: Final = "worker"
_DEFINITION: Final = Path(workers.__file__).parent.parent / "packaging/worker/pyproject.toml"
# What an installer adds to the files of a wheel.
_INSTALLERS: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
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
    if _DEFINITION.is_file():
        return from_checkout(_DEFINITION)
    return from_installed(metadata.distribution(DISTRIBUTION))


def from_checkout(definition: Path) -> Program:
    """Make the wheel that a checkout's ``pyproject.toml`` of the agent describes."""
    table = tomllib.loads(definition.read_text())
    project = table["project"]
    stem = f"{DISTRIBUTION.replace('-', '_')}-{project['version']}"
    info = f"{stem}.dist-info"
    included = table["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    files = {
        name: path.read_bytes()
        for source, target in included.items()
        for name, path in _sources((definition.parent / source).resolve(), target)
    }
    scripts = [f"{name} = {entry}\n" for name, entry in project["scripts"].items()]
    files |= {
        f"{info}/METADATA": _metadata(project).encode(),
        f"{info}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: xeenet\nRoot-Is-Purelib: true\nTag: {_TAG}\n"
        ).encode(),
        f"{info}/entry_points.txt": f"[console_scripts]\n{''.join(scripts)}".encode(),
    }
    for licence in project["license-files"]:
        files[f"{info}/licenses/{licence}"] = (definition.parent / licence).read_bytes()
    return _packed(stem, files)


def from_installed(installed: metadata.Distribution) -> Program:
    """Make the wheel anew from which the agent beside this server was installed."""
    files = {}
    for path in installed.files or ():
        is_the_wheels = ".." not in path.parts and "__pycache__" not in path.parts
        if is_the_wheels and not (".dist-info" in path.parts[0] and path.name in _INSTALLERS):
            files[path.as_posix()] = path.read_binary()
    return _packed(f"{DISTRIBUTION.replace('-', '_')}-{installed.version}", files)


def _sources(path: Path, target: str) -> Iterator[tuple[str, Path]]:
    """Yield a file, or the files of a folder without compiled ones, each with its name inside."""
    if path.is_file():
        yield target, path
        return
    for file in sorted(path.rglob("*")):
        is_source = "__pycache__" not in file.parts and not file.name.startswith(".")
        if file.is_file() and is_source:
            yield f"{target}/{file.relative_to(path).as_posix()}", file


def _packed(stem: str, files: Mapping[str, bytes]) -> Program:
    record = f"{stem}.dist-info/RECORD"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in {**files, record: _record(files, record)}.items():
            entry = zipfile.ZipInfo(name, _ALWAYS)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)
    return Program(f"{stem}-{_TAG}.whl", packed.getvalue())


def _record(files: Mapping[str, bytes], own_name: str) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow([name, f"sha256={digest}", len(content)])
    rows.writerow([own_name, "", ""])
    return text.getvalue().encode()


def _metadata(project: Mapping[str, Any]) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"License: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    for extra, requirements in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {_with_marker(words, extra)}" for words in requirements]
    return "\n".join(lines) + "\n"


def _with_marker(requirement: str, extra: str) -> str:
    name, _, marker = requirement.partition(";")
    marker = f"({marker.strip()}) and " if marker.strip() else ""
    return f'{name.strip()}; {marker}extra == "{extra}"'
