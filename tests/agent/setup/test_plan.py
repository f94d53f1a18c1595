"""Which GPUs are found, which build of torch is planned for them, and how a trial is judged."""

from __future__ import annotations

import ctypes
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.processes import ROOT
from workers.agent.setup import nvml_probe
from workers.agent.setup.detect import Gpu, Host, Places, Vendor, detect
from workers.agent.setup.plan import TORCH_PIN, has_kernels, make_plan, wheel_label
from workers.agent.setup.uv import Cause, failure
from workers.agent.setup.verify import judge

LINUX, MAC = Host("linux", "x86_64"), Host("darwin", "arm64")
TURING, PASCAL, KEPLER, BLACKWELL = (7, 5), (6, 1), (3, 5), (12, 0)


def _write(target: Any, value: Any) -> int:
    """Write through a pointer, as C does, or into a buffer."""
    getattr(target, "_obj", target).value = value
    return 0


def _memory(_device: Any, memory: Any) -> int:
    assert ctypes.sizeof(memory._obj) == 24
    memory._obj.total = 8 << 30
    return 0


# NVML as ctypes calls it: two GPUs, of which the second has fallen off its bus.
FAKE_NVML = SimpleNamespace(
    nvmlInit_v2=lambda: 0,
    nvmlSystemGetDriverVersion=lambda buffer, _length: _write(buffer, b"580.95.05"),
    nvmlSystemGetCudaDriverVersion_v2=lambda version: _write(version, 13010),
    nvmlDeviceGetCount_v2=lambda count: _write(count, 2),
    nvmlDeviceGetHandleByIndex_v2=lambda index, device: 15 * index.value or _write(device, 1),
    nvmlDeviceGetName=lambda _device, buffer, _length: _write(buffer, b"NVIDIA GeForce RTX 3070"),
    nvmlDeviceGetMemoryInfo=_memory,
    nvmlDeviceGetCudaComputeCapability=lambda _device, major, minor: (
        _write(major, 8) or _write(minor, 6)
    ),
)


def places(tmp_path: Path, **settings: Any) -> Places:
    """Return places without anything, apart from the settings."""
    nothing = tmp_path / "nothing"
    defaults = {"host": LINUX, "variables": {}, "pci": tmp_path / "pci", "kfd": tmp_path / "kfd"}
    return Places(**{**defaults, "nvidia_module": nothing, "wsl": nothing, **settings})


def add_device(tmp_path: Path, slot: str, vendor: str, kind: str) -> None:
    folder = tmp_path / "pci" / slot
    folder.mkdir(parents=True)
    for name, value in (("vendor", vendor), ("class", kind), ("device", "0x2484")):
        (folder / name).write_text(f"{value}\n")


def test_the_driver_tells_of_its_gpus_and_one_that_is_gone_is_left_out() -> None:
    report = nvml_probe.report(FAKE_NVML)
    gpu = {"name": "NVIDIA GeForce RTX 3070", "memory_bytes": 8 << 30, "capability": [8, 6]}
    assert report == {"driver": "580.95.05", "cuda": [13, 1], "gpus": [gpu]}


def test_gpus_are_found_by_driver_bus_and_kernel(tmp_path: Path) -> None:
    assert detect(places(tmp_path)) == ()
    add_device(tmp_path, "0000:00:02.0", "0x8086", "0x030000")
    add_device(tmp_path, "0000:00:03.0", "0x8086", "0x020000")  # a network card of Intel's
    add_device(tmp_path, "0000:01:00.0", "0x10de", "0x030200")
    add_device(tmp_path, "0000:02:00.0", "0x1002", "0x120000")
    for node, version in (("0", 0), ("1", 90010)):  # a processor, and a GPU
        (tmp_path / "kfd" / node).mkdir(parents=True)
        text = f"cpu_cores_count 0\ngfx_target_version {version}\n"
        (tmp_path / "kfd" / node / "properties").write_text(text)
    found = detect(places(tmp_path, nvml=lambda: nvml_probe.report(FAKE_NVML)))
    rtx = Gpu(Vendor.NVIDIA, "NVIDIA GeForce RTX 3070", "580.95.05", (8, 6), "", 8 << 30)
    amd = Gpu(Vendor.AMD, "AMD GPU gfx90a", architecture="gfx90a")
    assert found == (rtx, amd, Gpu(Vendor.INTEL, "Intel GPU 2484"))
    silent = detect(places(tmp_path, nvml=lambda: {"problem": "hangs"}))
    assert silent[0] == Gpu(Vendor.NVIDIA, "NVIDIA GPU")
    assert detect(places(tmp_path, host=MAC))[0].vendor is Vendor.APPLE
    assert detect(places(tmp_path, host=Host("darwin", "x86_64"))) == ()


def test_what_uv_is_told_of_the_hardware_counts_for_the_plan_too(tmp_path: Path) -> None:
    (driver,) = detect(places(tmp_path, variables={"UV_CUDA_DRIVER_VERSION": "550.40"}))
    assert (driver.vendor, driver.driver) == (Vendor.NVIDIA, "550.40")
    (amd,) = detect(places(tmp_path, variables={"UV_AMD_GPU_ARCHITECTURE": "gfx1100"}))
    assert (amd.vendor, amd.architecture) == (Vendor.AMD, "gfx1100")


def nvidia(driver: str, capability: tuple[int, int] | None = TURING) -> Gpu:
    return Gpu(Vendor.NVIDIA, "GeForce", driver, capability)


@pytest.mark.parametrize(
    ("gpu", "host", "backends", "words"),
    [
        (nvidia("580.95.05"), LINUX, ["auto", "cu126", "cpu"], "driver 580.95.05"),
        (nvidia("580.95.05", None), LINUX, ["auto", "cu126", "cpu"], "driver 580.95.05"),
        (nvidia("550.144.03"), LINUX, ["auto", "cpu"], "driver 550.144.03"),
        (nvidia("580.95.05", PASCAL), LINUX, ["cu126", "cpu"], "CUDA 12 only"),
        (nvidia("580.95.05", KEPLER), LINUX, ["cpu"], "older than what torch"),
        (nvidia("470.82.01"), LINUX, ["cpu"], "needs 525.60.13 or newer.*class of CPUs"),
        (nvidia("525.60.12"), LINUX, ["cpu"], "too old"),
        (nvidia(""), LINUX, ["cpu"], "no driver"),
        (Gpu(Vendor.AMD, "R", architecture="gfx1100"), LINUX, ["auto", "cpu"], "ROCm"),
        (Gpu(Vendor.AMD, "R"), LINUX, ["cpu"], "does not tell its architecture"),
        (Gpu(Vendor.AMD, "R", architecture="gfx1100"), Host("win32", "AMD64"), ["cpu"], "Linux"),
        (Gpu(Vendor.INTEL, "Arc"), LINUX, ["cpu"], "cannot use Arc"),
        (Gpu(Vendor.APPLE, "M4"), MAC, ["auto"], "Metal"),
        (None, LINUX, ["cpu"], "no GPU"),
        (None, Host("darwin", "x86_64"), [], "Intel processor"),
    ],
)
def test_the_plan_names_builds_in_their_order_and_says_why(
    gpu: Gpu | None, host: Host, backends: list[str], words: str
) -> None:
    plan = make_plan(() if gpu is None else (gpu,), host)
    assert [build.backend for build in plan.builds] == backends
    assert re.search(words, plan.reason), plan.reason
    assert plan.wants_gpu == (backends not in ([], ["cpu"]))
    sizes = [build.download_bytes for build in plan.builds]
    assert all(size > 50_000_000 for size in sizes)


def test_the_owner_may_name_the_build() -> None:
    plan = make_plan((nvidia("580.1"),), LINUX, "cu128")
    assert [build.backend for build in plan.builds] == ["cu128", "cpu"]
    assert [build.backend for build in make_plan((), LINUX, "cpu").builds] == ["cpu"]


@pytest.mark.parametrize(
    ("capability", "arch_list", "fits"),
    [
        ((8, 6), ["sm_75", "sm_86"], True),
        ((8, 9), ["sm_80", "sm_86", "sm_90"], True),  # kernels run on newer ones of a generation
        ((8, 6), ["sm_89", "sm_90"], False),
        ((12, 0), ["sm_75", "sm_90"], False),
        ((12, 0), ["sm_75", "compute_90"], True),  # compiled on the machine
        ((12, 0), ["sm_120"], True),
        ((9, 0), ["sm_90a"], True),
        ((9, 1), ["sm_90a"], False),
        (PASCAL, ["sm_75", "sm_80"], False),
        ((7, 5), [], False),
    ],
)
def test_a_gpu_needs_kernels_of_its_generation(
    capability: tuple[int, int], arch_list: list[str], fits: bool
) -> None:
    assert has_kernels(capability, arch_list) is fits


def test_a_wheel_is_taken_for_the_driver_not_for_the_alphabet() -> None:
    newest = make_plan((nvidia("580.95"),), LINUX).builds[0]
    older = make_plan((nvidia("550.1"),), LINUX).builds[0]
    cpu = make_plan((), LINUX).builds[0]

    def names(*labels: str) -> list[str]:
        versions = [f"{TORCH_PIN}{label}" for label in labels]
        return [f"torch-{version}-cp312-cp312-linux_x86_64.whl" for version in versions]

    everything = names("+rocm7.1", "+cu126", "+cu130", "+cpu", "")
    assert wheel_label(everything, newest) == "cu130"
    assert wheel_label(everything, older) == "cu126"
    assert wheel_label(everything, cpu) == "cpu"
    assert wheel_label(names(""), newest) == ""  # PyPI's own, for CUDA 13
    assert wheel_label(names(""), older) is None
    assert wheel_label(["torch-2.1.0+cu130-cp312-cp312-linux_x86_64.whl"], newest) is None


GOOD = {
    "version": f"{TORCH_PIN}+cu130",
    "cuda": "13.0",
    "gpus": [{"name": "RTX", "capability": [8, 6], "architecture": "", "problem": ""}],
    "arch_list": ["sm_75", "sm_86"],
    "mps": None,
    "cpu": "",
}
BAD_GPU = {**GOOD["gpus"][0], "name": "GTX", "capability": [6, 1]}  # type: ignore[index]
AMD_GPU = {"name": "RX", "capability": [11, 0], "architecture": "gfx1100", "problem": ""}


@pytest.mark.parametrize(
    ("changes", "wanted", "device", "words"),
    [
        ({}, "cuda", "cuda", "works on RTX"),
        ({}, "cpu", "cpu", "works on the CPU"),
        ({"problem": "libcudart.so.13"}, "cuda", "", "does not start: libcudart"),
        ({"cpu": "illegal instruction"}, "cuda", "", "not compute on the CPU"),
        ({"gpus": []}, "cuda", "cpu", "it finds none"),
        ({"gpus": [], "cuda": None}, "cuda", "cpu", "without CUDA"),
        ({"arch_list": ["sm_90"]}, "cuda", "cpu", "RTX is sm_86.*kernels for sm_90"),
        (
            {"gpus": [{**BAD_GPU, "capability": [8, 6], "problem": "no memory"}]},
            "cuda",
            "cpu",
            "no",
        ),
        ({"gpus": [AMD_GPU], "arch_list": ["gfx90a"]}, "cuda", "cpu", "RX is gfx1100"),
        ({"gpus": [AMD_GPU], "arch_list": ["gfx1100"]}, "cuda", "cuda", "works on RX"),
        ({"mps": ""}, "mps", "mps", "GPU of this Mac"),
        ({"mps": None}, "mps", "cpu", "does not find Metal"),
    ],
)
def test_a_trial_decides_where_scripts_run(
    changes: dict[str, Any], wanted: str, device: str, words: str
) -> None:
    verdict = judge({**GOOD, **changes}, "", wanted)
    assert verdict.device == device
    assert re.search(words, verdict.sentence), verdict.sentence


def test_another_version_and_a_second_gpu_that_fails_are_noted_not_refused() -> None:
    both = {**GOOD, "version": "2.9.1+cu128", "gpus": [*GOOD["gpus"], BAD_GPU]}  # type: ignore[misc]
    verdict = judge(both, "", "cuda")
    assert verdict.device == "cuda"
    assert ["2.9.1" in verdict.notes[0], "GTX does not work" in verdict.notes[1]] == [True, True]


@pytest.mark.parametrize(
    ("stderr", "cause", "words"),
    [
        (
            (
                "error: Failed to fetch: https://wheels.example.org/whl/cu132/torch/\n"
                "  cause: error sending request for url (https://wheels.example.org/whl/…)\n"
                "  cause: Connection refused (os error 111)"
            ),
            Cause.UNREACHABLE,
            "wheels.example.org cannot be reached .Connection refused",
        ),
        (
            "error: Failed to fetch: https://me:secret@wheels.example/torch/\n  cause: dns error",
            Cause.UNREACHABLE,
            "^wheels.example cannot",
        ),
        (
            (
                "error: No solution found when resolving dependencies\n"
                "  cause: Because torch was not found in the cache\n\n"
                "hint: Packages were unavailable because the network was disabled."
            ),
            Cause.UNREACHABLE,
            "UV_OFFLINE",
        ),
        (
            (
                "error: No solution found when resolving dependencies\n"
                "  cause: Because there is no version of torch==2.13.0+cu118"
            ),
            Cause.NO_BUILD,
            "no such build",
        ),
        (
            "error: Failed to install: torch\n  cause: No space left on device (os error 28)",
            Cause.DISK_FULL,
            "disk is full",
        ),
        (
            (
                "error: No solution found when resolving dependencies\n"
                "  cause: Because only mpmath==1.4 is available and sympy depends on mpmath<1.4, "
                "we can conclude that this fails."
            ),
            Cause.NO_BUILD,
            "not fit together. Because only mpmath==1.4 is available and sympy .*<1.4$",
        ),
        ("error: Unknown AMD GPU architecture: gfx803", Cause.NO_BUILD, "no such build"),
        ("Traceback\nerror: something else", Cause.OTHER, "something else"),
        ("", Cause.OTHER, "said nothing"),
    ],
)
def test_what_uv_prints_decides_whether_another_build_is_tried(
    stderr: str, cause: Cause, words: str
) -> None:
    reason = failure(stderr)
    assert reason.cause is cause
    assert re.search(words, reason.sentence), reason.sentence
    assert "secret" not in reason.sentence


def test_the_pin_is_that_of_the_locks_and_of_the_project() -> None:
    folder = ROOT / "packaging" / "worker"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert f"torch=={TORCH_PIN}" in project["optional-dependencies"]["worker"]
    assert f"torch=={TORCH_PIN}" in (ROOT / "requirements/worker.txt").read_text().splitlines()
