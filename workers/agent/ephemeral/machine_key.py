"""What a machine is called at a server, whichever job runs on it: its speed is measured once.

The same for all jobs on a machine, and another one for each machine. Only a hash leaves it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from workers.agent.running.hardware import machine_id

MACHINE_VARIABLE: Final = "XEENET_MACHINE_KEY"
_MACHINE_ID: Final = Path("/etc/machine-id")
_ID: Final = re.compile(r"[0-9a-f]{32}")
# An image brings a machine id of its own, which is the same wherever its containers run.
_CONTAINER_MARKS: Final = (
    Path("/.dockerenv"),
    Path("/run/.containerenv"),
    Path("/.singularity.d"),
)
_CONTAINER_VARIABLES: Final = ("container", "KUBERNETES_SERVICE_HOST")


class MachineKey(NamedTuple):
    """The key, 32 hexadecimal digits, and where it comes from, in words."""

    text: str
    origin: str


def machine_key(
    variables: Mapping[str, str] = os.environ,
    *,
    machine_id_file: Path = _MACHINE_ID,
    container_marks: tuple[Path, ...] = _CONTAINER_MARKS,
) -> MachineKey:
    """Return the key of this machine.

    Machines that start from one image may have one machine id, so their names count, too. A
    container knows neither of its machine: it takes the start of the kernel, which all containers
    on a machine share until that starts anew.
    """
    if given := variables.get(MACHINE_VARIABLE, "").strip():
        return MachineKey(_hashed(f"given:{given}"), f"from {MACHINE_VARIABLE}")
    in_container = any(mark.exists() for mark in container_marks) or any(
        variables.get(name) for name in _CONTAINER_VARIABLES
    )
    if not in_container and (own := _own_id(machine_id_file)):
        origin = f"from {machine_id_file} and the host name"
        return MachineKey(_hashed(f"machine:{own}:{platform.node()}"), origin)
    if kernel := machine_id():
        what = "this container's machine" if in_container else "this machine"
        origin = f"from the start of {what}, so it changes when that starts anew"
        return MachineKey(_hashed(f"kernel:{kernel}"), f"{origin}; {MACHINE_VARIABLE} sets another")
    origin = f"from the host name alone; {MACHINE_VARIABLE} sets another"
    return MachineKey(_hashed(f"name:{platform.node()}"), origin)


def _own_id(path: Path) -> str:
    try:
        text = path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
    return text if _ID.fullmatch(text) else ""


def _hashed(text: str) -> str:
    return hashlib.sha256(f"xeenet:{text}".encode()).hexdigest()[:32]
