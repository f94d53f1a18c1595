"""Which builds of torch to try, in which order, how large they are, and why. Pure.

uv finds the newest build that fits the driver (`--torch-backend=auto`). What uv does not look at is
known here: whether a build leaves the GPU out, and which GPUs our scripts can use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workers.agent.setup.detect import Gpu, Host, Vendor

# The only version that campaigns are compared with. A test compares it with the project.
TORCH_PIN: Final = "2.13.0"
AUTO: Final = "auto"
CPU: Final = "cpu"

_MB: Final = 1_000_000
# (to download, on disk afterwards). CUDA 13 is the sum of the wheels of 2.13.0 on PyPI for Linux;
# the others, and what unpacked files take, are rough.
_SIZES: Final = {
    "cuda": (2_750 * _MB, 5_500 * _MB),
    "rocm": (4_800 * _MB, 16_000 * _MB),
    "mps": (110 * _MB, 450 * _MB),
    CPU: (220 * _MB, 900 * _MB),
}
PYTHON_SIZES: Final = (35 * _MB, 130 * _MB)
# The oldest driver for any CUDA build of the pin, and for those of CUDA 13. As uv has them.
_MIN_DRIVER: Final = (525, 60, 13)
_CUDA_13_DRIVER: Final = (580,)
# CUDA 13 has no kernels for what is older than Turing; torch's CUDA 12 builds begin with Maxwell.
_CUDA_13_CAPABILITY: Final = (7, 5)
_MIN_CAPABILITY: Final = (5, 0)
_CUDA_12: Final = "cu126"
_CUDA_LABELS: Final = ("cu132", "cu130", "cu129", "cu128", "cu126")
_ROCM_LABELS: Final = ("rocm7.2", "rocm7.1", "rocm7.0", "rocm6.4")


@dataclass(frozen=True)
class Build:
    """A build of torch to try."""

    backend: str  # as uv calls it
    device: str  # where its scripts are to run: cuda (also AMD's), mps, cpu
    name: str  # for people
    download_bytes: int
    disk_bytes: int
    # The local version labels of its wheels, best first; "" stands for a wheel without any. Only a
    # folder of wheels needs them, because uv does not tell them apart there.
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The builds in their order, and why. Without builds there is no torch for this machine."""

    builds: tuple[Build, ...]
    reason: str
    advice: str = ""  # what would let the GPU be used

    @property
    def wants_gpu(self) -> bool:
        """Whether a GPU is to be used."""
        return bool(self.builds) and self.builds[0].device != CPU


def version_numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (580, 95, 5) of 580.95.05."""
    numbers = []
    for part in text.strip().split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def make_plan(gpus: Sequence[Gpu], host: Host, backend: str = "") -> Plan:
    """Return what to try on a machine with these GPUs, or with ``backend`` only that and the CPU.

    The first GPU that scripts could use decides.
    """
    if host.system == "darwin" and host.processor != "arm64":
        reason = f"torch {TORCH_PIN} does not exist for Macs with an Intel processor"
        return Plan((), reason, "An older torch works: setup --python PATH of its Python.")
    if backend:
        return _as_wanted(backend, host)
    for vendor, plan in (
        (Vendor.APPLE, _for_apple),
        (Vendor.NVIDIA, _for_nvidia),
        (Vendor.AMD, _for_amd),
    ):
        for gpu in gpus:
            if gpu.vendor is vendor:
                return plan(gpu, host)
    if gpus:
        return Plan((_cpu(host),), f"the scripts cannot use {gpus[0].name}: the build for the CPU")
    return Plan((_cpu(host),), "no GPU was found: the build for the CPU")


def _for_apple(gpu: Gpu, _host: Host) -> Plan:
    build = Build(AUTO, "mps", "Metal", *_SIZES["mps"], ("", "cpu"))
    return Plan((build,), f"{gpu.name} is used through Metal")


def _for_nvidia(gpu: Gpu, host: Host) -> Plan:
    cpu = _cpu(host)
    driver = version_numbers(gpu.driver)
    if not driver:
        reason = f"no driver of {gpu.name} answers: the build for the CPU"
        return Plan((cpu,), reason, "Install NVIDIA's driver, then run this again.")
    if driver < _MIN_DRIVER:
        needed = ".".join(map(str, _MIN_DRIVER))
        reason = (
            f"the driver {gpu.driver} of {gpu.name} is too old for torch {TORCH_PIN}, which needs "
            f"{needed} or newer: the build for the CPU, whose results stand in the class of CPUs"
        )
        return Plan((cpu,), reason, "Update the driver, then run this again.")
    if gpu.capability is not None and gpu.capability < _MIN_CAPABILITY:
        reason = (
            f"{gpu.name} (compute capability {_dotted(gpu.capability)}) is older than what torch "
            f"{TORCH_PIN} is built for: the build for the CPU"
        )
        return Plan((cpu,), reason)
    older = _cuda(_CUDA_12, "CUDA 12.6", _CUDA_LABELS[-1:])
    if gpu.capability is not None and gpu.capability < _CUDA_13_CAPABILITY:
        reason = (
            f"{gpu.name} (compute capability {_dotted(gpu.capability)}) is in builds for CUDA 12 "
            "only"
        )
        return Plan((older, cpu), reason)
    can_13 = driver >= _CUDA_13_DRIVER
    labels = _CUDA_LABELS if can_13 else _CUDA_LABELS[2:]
    # PyPI's wheel for Linux is that for CUDA 13.0, without a label in its name.
    unlabelled = ("",) if can_13 and host.system == "linux" else ()
    newest = _cuda(AUTO, "CUDA", (*labels, *unlabelled))
    reason = f"{gpu.name} with driver {gpu.driver}: the newest build for CUDA that fits"
    return Plan((newest, older, cpu) if can_13 else (newest, cpu), reason)


def _for_amd(gpu: Gpu, host: Host) -> Plan:
    cpu = _cpu(host)
    if host.system != "linux":
        return Plan((cpu,), f"torch for {gpu.name} exists for Linux only: the build for the CPU")
    if not gpu.architecture:
        reason = f"the driver of {gpu.name} does not tell its architecture: the build for the CPU"
        return Plan((cpu,), reason, "Install the amdgpu driver with KFD, then run this again.")
    build = Build(AUTO, "cuda", "ROCm", *_SIZES["rocm"], _ROCM_LABELS)
    return Plan((build, cpu), f"{gpu.name} is used through ROCm")


def _as_wanted(backend: str, host: Host) -> Plan:
    if backend == CPU:
        return Plan((_cpu(host),), "the build for the CPU, as --backend says")
    kind = "rocm" if backend.startswith("rocm") else "cuda"
    build = Build(backend, "cuda", backend, *_SIZES[kind], (backend,))
    return Plan((build, _cpu(host)), f"the build {backend}, as --backend says")


def _cuda(backend: str, name: str, labels: Sequence[str]) -> Build:
    return Build(backend, "cuda", name, *_SIZES["cuda"], tuple(labels))


def _cpu(host: Host) -> Build:
    # PyPI's wheels for Windows and macOS are for the CPU, and have no label.
    labels = ("cpu",) if host.system == "linux" else ("cpu", "")
    return Build(CPU, CPU, "the CPU", *_SIZES[CPU], labels)


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def has_kernels(capability: tuple[int, int], arch_list: Sequence[str]) -> bool:
    """Return whether a build with this ``torch.cuda.get_arch_list()`` runs on a GPU.

    A kernel for sm_86 runs on GPUs of the same generation from 8.6 on, so also on 8.9; one for
    compute_80 is compiled on the machine, for every newer GPU. sm_90a is for 9.0 alone.
    """
    for architecture in arch_list:
        kind, _, number = architecture.partition("_")
        exact = number[-1:].isalpha() and number[-1:] != "f"
        digits = number.rstrip("abcdefghijklmnopqrstuvwxyz")
        if len(digits) < 2 or not digits.isdigit():
            continue
        built_for = (int(digits[:-1]), int(digits[-1]))
        if exact:
            fits = capability == built_for
        elif kind == "compute":
            fits = capability >= built_for
        else:
            fits = kind == "sm" and capability[0] == built_for[0] and capability >= built_for
        if fits:
            return True
    return False


def wheel_label(names: Sequence[str], build: Build) -> str | None:
    """Return the label of the best wheel of torch for ``build`` among file names; None of none."""
    labels = set()
    for name in names:
        parts = name.split("-")
        if len(parts) >= 5 and parts[0] == "torch" and name.endswith(".whl"):
            version, _, label = parts[1].partition("+")
            if version == TORCH_PIN:
                labels.add(label)
    return next((label for label in build.labels if label in labels), None)
