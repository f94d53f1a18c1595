"""Battery, memory, temperature and network, as far as the system tells. Nothing here raises."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psutil

_ANSWER_SECONDS: Final = 5.0
# The names under which Linux' drivers list processors: Intel, AMD (two), ARM boards, ACPI.
_PROCESSORS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")
_NETWORK_MANAGER: Final = "org.freedesktop.NetworkManager"
# NetworkManager: unknown, yes, no, probably yes, probably no.
_METERED: Final = {"1": True, "2": False, "3": True, "4": False}

Run = Callable[[Sequence[str]], str]


def on_battery(read: Callable[[], Any] | None = None) -> bool | None:
    """Return whether the machine runs on its battery; None without a battery."""
    read = read or getattr(psutil, "sensors_battery", None)
    with contextlib.suppress(Exception):  # the drivers of some machines are broken
        battery = read() if read is not None else None
        if battery is not None and battery.power_plugged is not None:
            return not battery.power_plugged
    return None


def free_memory_bytes() -> int | None:
    """Return the memory that programs can get without swapping."""
    with contextlib.suppress(psutil.Error, OSError):
        return int(psutil.virtual_memory().available)
    return None


def temperature(read: Callable[[], Mapping[str, Sequence[Any]]] | None = None) -> float | None:
    """Return the temperature of the hottest part of the processor; None where it is unknown.

    psutil reads it on Linux and FreeBSD.
    """
    read = read or getattr(psutil, "sensors_temperatures", None)
    with contextlib.suppress(Exception):  # the drivers of some machines are broken
        by_name = read() if read is not None else {}
        for name in _PROCESSORS:
            values = [float(sensor.current) for sensor in by_name.get(name, ()) if sensor.current]
            if values:
                return max(values)
    return None


def metered(run: Run | None = None) -> bool | None:
    """Return whether the network is metered, as NetworkManager (Linux) says; None without it."""
    path = "/" + _NETWORK_MANAGER.replace(".", "/")
    words = ["busctl", "--system", "get-property", _NETWORK_MANAGER, path]
    answer = (run or answer_of)([*words, _NETWORK_MANAGER, "Metered"])
    return _METERED.get(answer.removeprefix("u").strip())


def answer_of(command: Sequence[str]) -> str:
    """Return what a program prints; "" when it is not here, fails or does not answer."""
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        run = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout.decode(errors="replace").strip()
