"""Print whether torch works on each device of this machine, as one JSON line. A plain file.

It runs with a Python that may become the scripts'. A small product is computed on every device,
because a listed device may still not work.
"""

import importlib
import json
from typing import Any


def product(torch: Any, device: str) -> str:
    """Return "" when a small product on ``device`` is right, otherwise the reason."""
    try:
        ones = torch.ones(64, 64, device=device)
        total = float((ones @ ones).sum())
    except Exception as error:  # noqa: BLE001 any error of the backend is the answer
        return (str(error).splitlines() or [type(error).__name__])[0]
    return "" if total == 64.0**3 else "a product came out wrong"


def gpu(torch: Any, index: int) -> dict[str, Any]:
    """Return a GPU's name, what its kernels are compiled for, and its problem, "" for none."""
    properties = torch.cuda.get_device_properties(index)
    return {
        "name": properties.name,
        "capability": list(torch.cuda.get_device_capability(index)),
        "architecture": getattr(properties, "gcnArchName", "").split(":")[0],  # AMD
        "problem": product(torch, f"cuda:{index}"),
    }


def report() -> dict[str, Any]:
    """Return torch's version, what it is built for, and how each device did."""
    try:
        torch = importlib.import_module("torch")
        answer: dict[str, Any] = {
            "version": str(torch.__version__),
            "cuda": torch.version.cuda,
            "hip": getattr(torch.version, "hip", None),
        }
    except Exception as error:  # noqa: BLE001 a broken install raises more than ImportError
        return {"problem": (str(error).splitlines() or [type(error).__name__])[0]}
    answer["gpus"], answer["arch_list"] = [], []
    if torch.cuda.is_available():
        answer["arch_list"] = list(torch.cuda.get_arch_list())
        answer["gpus"] = [gpu(torch, index) for index in range(torch.cuda.device_count())]
    answer["mps"] = product(torch, "mps") if torch.backends.mps.is_available() else None
    answer["cpu"] = product(torch, "cpu")
    return answer


if __name__ == "__main__":
    print(json.dumps(report()), flush=True)
