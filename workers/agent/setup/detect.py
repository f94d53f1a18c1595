"""Which GPUs this machine has: from the driver, the PCI bus, or the kind of the machine.

NVIDIA's driver is asked in a process of its own (`nvml_probe.py`), because a broken one may hang.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from workers.agent.executables import helper_words

# uv looks at these first, too: who sets them for uv means them for the plan.
CUDA_DRIVER_VARIABLE: Final = "UV_CUDA_DRIVER_VERSION"
AMD_ARCHITECTURE_VARIABLE: Final = "UV_AMD_GPU_ARCHITECTURE"
_NVML_PROBE: Final = Path(__file__).with_name("nvml_probe.py")
_NVML_SECONDS: Final = 20.0
_GPU_CLASSES: Final = ("0x03", "0x12")  # display controllers and processing accelerators
_APPLE_PROCESSOR: Final = "arm64"


class Vendor(StrEnum):
    """Who made a GPU."""

    NVIDIA = "NVIDIA"
    AMD = "AMD"
    INTEL = "Intel"
    APPLE = "Apple"


_PCI_VENDORS: Final = {"0x10de": Vendor.NVIDIA, "0x1002": Vendor.AMD, "0x8086": Vendor.INTEL}


@dataclass(frozen=True)
class Gpu:
    """A GPU, with what decides on its torch. What is not known is empty."""

    vendor: Vendor
    name: str
    driver: str = ""  # NVIDIA: the version of its driver
    capability: tuple[int, int] | None = None  # NVIDIA: what its kernels are compiled for
    architecture: str = ""  # AMD: the same, as gfx1100
    memory_bytes: int = 0


@dataclass(frozen=True)
class Host:
    """The kind of a machine."""

    system: str  # as sys.platform: linux, darwin, win32
    processor: str  # as platform.machine()


def this_host() -> Host:
    """Return the kind of this machine."""
    return Host("linux" if sys.platform.startswith("linux") else sys.platform, platform.machine())


def ask_nvml() -> dict[str, Any]:
    """Return what NVIDIA's driver tells, or its problem. It takes 20 seconds at most."""
    try:
        answer = subprocess.run(
            helper_words(_NVML_PROBE),
            capture_output=True,
            timeout=_NVML_SECONDS,
            check=False,
        )
        report = json.loads(answer.stdout)
    except subprocess.TimeoutExpired:
        return {"problem": f"it does not answer within {_NVML_SECONDS:g} s"}
    except (OSError, ValueError) as error:
        return {"problem": f"it cannot be asked: {error}"}
    return report if isinstance(report, dict) else {"problem": "it does not answer"}


@dataclass(frozen=True)
class Places:
    """Where to look. Tests put folders and functions of their own here."""

    host: Host = field(default_factory=this_host)
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    pci: Path = Path("/sys/bus/pci/devices")
    kfd: Path = Path("/sys/class/kfd/kfd/topology/nodes")
    nvidia_module: Path = Path("/sys/module/nvidia/version")
    wsl: Path = Path("/dev/dxg")
    nvml: Callable[[], dict[str, Any]] = ask_nvml


def detect(places: Places | None = None) -> tuple[Gpu, ...]:
    """Return this machine's GPUs, those first that scripts can use best. It starts one process."""
    places = places or Places()
    if places.host.system == "darwin":
        is_apple = places.host.processor == _APPLE_PROCESSOR
        return (Gpu(Vendor.APPLE, "the GPU of this Mac"),) if is_apple else ()
    buses = list(_on_the_bus(places.pci))
    may_be_nvidia = any(gpu.vendor is Vendor.NVIDIA for gpu in buses)
    gpus: list[Gpu] = []
    if may_be_nvidia or places.wsl.exists() or places.host.system == "win32":
        gpus += _nvidia(places, may_be_nvidia=may_be_nvidia)
    if any(gpu.vendor is Vendor.AMD for gpu in buses):
        gpus += _amd(places.kfd)
    gpus += [gpu for gpu in buses if gpu.vendor is Vendor.INTEL]
    return tuple(_as_told(gpus, places.variables))


def _on_the_bus(folder: Path) -> Iterator[Gpu]:
    """Yield the GPUs on the PCI bus of Linux; only their makers are known there."""
    try:
        devices = sorted(folder.iterdir())
    except OSError:
        return
    for device in devices:
        kind, vendor = _line(device / "class"), _PCI_VENDORS.get(_line(device / "vendor"))
        if vendor is not None and kind.startswith(_GPU_CLASSES):
            number = _line(device / "device").removeprefix("0x")
            yield Gpu(vendor, f"{vendor} GPU {number}".rstrip())


def _line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""


def _nvidia(places: Places, *, may_be_nvidia: bool) -> list[Gpu]:
    report = places.nvml()
    driver = str(report.get("driver", "")) or _line(places.nvidia_module)
    gpus = []
    for item in report.get("gpus", ()):
        major, minor = item.get("capability") or (0, 0)
        gpus.append(
            Gpu(
                Vendor.NVIDIA,
                str(item.get("name")) or "NVIDIA GPU",
                driver,
                (int(major), int(minor)) if major else None,
                memory_bytes=int(item.get("memory_bytes") or 0),
            )
        )
    if not gpus and may_be_nvidia:  # without a driver that answers
        gpus.append(Gpu(Vendor.NVIDIA, "NVIDIA GPU", driver))
    # CUDA puts the fastest first; scripts use the first.
    return sorted(gpus, key=lambda gpu: gpu.capability or (0, 0), reverse=True)


def _amd(nodes: Path) -> list[Gpu]:
    """Return AMD's GPUs as their kernel driver lists them; processors have no architecture."""
    gpus = []
    for properties in sorted(nodes.glob("*/properties")):
        for line in _line(properties).splitlines():
            name, _, value = line.partition(" ")
            if name == "gfx_target_version" and value.isdigit() and int(value):
                architecture = _gfx(int(value))
                gpus.append(Gpu(Vendor.AMD, f"AMD GPU {architecture}", architecture=architecture))
    return gpus or [Gpu(Vendor.AMD, "AMD GPU")]


def _gfx(version: int) -> str:
    """Return AMD's name of an architecture: 110000 is gfx1100, 90010 is gfx90a."""
    major, minor, stepping = version // 10_000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{stepping:x}"


def _as_told(gpus: list[Gpu], variables: Mapping[str, str]) -> Iterator[Gpu]:
    """Yield the GPUs with what the variables of uv say of them; one for a variable without any."""
    for vendor, variable in (
        (Vendor.NVIDIA, CUDA_DRIVER_VARIABLE),
        (Vendor.AMD, AMD_ARCHITECTURE_VARIABLE),
    ):
        value = variables.get(variable, "").strip()
        of_vendor = [gpu for gpu in gpus if gpu.vendor is vendor]
        if value and not of_vendor:
            of_vendor = [Gpu(vendor, f"{vendor} GPU (named by {variable})")]
        for gpu in of_vendor:
            if value and vendor is Vendor.NVIDIA:
                gpu = replace(gpu, driver=value)
            elif value:
                gpu = replace(gpu, architecture=value)
            yield gpu
    yield from (gpu for gpu in gpus if gpu.vendor not in {Vendor.NVIDIA, Vendor.AMD})
