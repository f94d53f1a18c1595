"""What NVIDIA's driver tells of its GPUs, as one JSON line. Run as a plain file in a subprocess.

It calls the driver's own library (NVML) without any package, so it works with every Python. A
driver that hangs must not take the agent with it: whoever runs this waits for a bounded time.
"""

import ctypes
import json
import sys
from typing import Any

LIBRARIES = {"win32": ("nvml.dll",)}
ELSEWHERE = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1")
TEXT_BYTES = 96  # as NVML's own constants for a device's name and the driver's version


class Memory(ctypes.Structure):
    """nvmlMemory_t: bytes."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def load() -> Any:
    """Return the driver's library. Raises OSError without one."""
    problem = OSError("no library")
    for name in LIBRARIES.get(sys.platform, ELSEWHERE):
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            problem = error
    raise problem


def report(library: Any) -> dict[str, Any]:
    """Return the driver's version, the CUDA version it can do, and its GPUs."""
    code = library.nvmlInit_v2()
    if code != 0:
        return {"problem": f"NVML answers {code} to its start"}
    driver = ctypes.create_string_buffer(TEXT_BYTES)
    library.nvmlSystemGetDriverVersion(driver, ctypes.c_uint(TEXT_BYTES))
    cuda, count = ctypes.c_int(), ctypes.c_uint()
    library.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(cuda))
    library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    gpus = []
    for index in range(count.value):
        device = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)) != 0:
            continue  # a GPU that fell off its bus
        name, memory = ctypes.create_string_buffer(TEXT_BYTES), Memory()
        major, minor = ctypes.c_int(), ctypes.c_int()
        library.nvmlDeviceGetName(device, name, ctypes.c_uint(TEXT_BYTES))
        library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
        library.nvmlDeviceGetCudaComputeCapability(device, ctypes.byref(major), ctypes.byref(minor))
        gpus.append(
            {
                "name": name.value.decode("utf-8", "replace"),
                "memory_bytes": memory.total,
                "capability": [major.value, minor.value],
            }
        )
    return {
        "driver": driver.value.decode("ascii", "replace"),
        "cuda": [cuda.value // 1000, cuda.value % 1000 // 10],
        "gpus": gpus,
    }


if __name__ == "__main__":
    try:
        answer = report(load())
    except (OSError, AttributeError) as error:  # no driver, or one that lacks a call
        answer = {"problem": str(error)}
    print(json.dumps(answer), flush=True)
