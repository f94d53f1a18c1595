"""Print what torch can do on this machine, as one JSON line. Run as a plain file in a subprocess.

It computes something on every device, because a listed device may still not work: the driver may be
too old, the wheel built without CUDA, or the GPU of another architecture.
"""

import importlib
import json
from typing import Any


def works(torch: Any, device: str) -> str:
    """Return "" when a small product on ``device`` is right, otherwise the reason."""
    try:
        ones = torch.ones(64, 64, device=device)
        total = float((ones @ ones).sum())
    except Exception as error:  # noqa: BLE001 any error of the backend is the answer
        return f"{device}: {error}".splitlines()[0]
    return "" if total == 64.0**3 else f"{device}: a product came out wrong"


def probe() -> dict[str, Any]:
    """Return torch's version, its working devices (best first), the GPU, and notes on the rest."""
    try:
        torch = importlib.import_module("torch")
    except Exception as error:  # noqa: BLE001 a broken install raises more than ImportError
        return {"notes": [f"torch: {error}".splitlines()[0]]}
    report: dict[str, Any] = {"torch_version": torch.__version__, "devices": [], "notes": []}
    candidates = []
    if torch.cuda.is_available():
        candidates.append("cuda")
    if torch.backends.mps.is_available():
        candidates.append("mps")
    for device in [*candidates, "cpu"]:
        problem = works(torch, device)
        if problem:
            report["notes"].append(problem)
        else:
            report["devices"].append(device)
    if "cuda" in report["devices"]:
        properties = torch.cuda.get_device_properties(0)
        report |= {"gpu_name": properties.name, "gpu_memory_bytes": properties.total_memory}
    return report


if __name__ == "__main__":
    print(json.dumps(probe()), flush=True)
