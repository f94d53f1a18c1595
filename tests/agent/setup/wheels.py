"""Small wheels that call themselves torch: good ones, and ones that are broken in some way."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from workers.agent.setup.plan import TORCH_PIN

# The parts of torch that the trial and the agent's own check of torch look at.
_TORCH = """
__version__ = {version!r}
class version:
    cuda, hip = {cuda!r}, {hip!r}
class _Tensor:
    def __matmul__(self, other): return self
    def sum(self): return 64.0 ** 3
def ones(*shape, device):
    if device.startswith("cuda") and {broken!r}: raise RuntimeError({broken!r})
    return _Tensor()
class _Properties:
    name, total_memory, gcnArchName = {gpu!r}, 8 << 30, {architecture!r}
class cuda:
    def is_available(): return {devices!r} > 0
    def device_count(): return {devices!r}
    def get_arch_list(): return {arch_list!r}
    def get_device_capability(index): return {capability!r}
    def get_device_properties(index): return _Properties
class backends:
    class mps:
        def is_available(): return False
"""


def torch_source(
    label: str,
    *,
    devices: int | None = None,
    broken: str = "",
    arch_list: Sequence[str] = ("sm_75", "sm_80", "sm_86", "sm_90", "compute_90"),
    capability: tuple[int, int] = (8, 6),
    gpu: str = "NVIDIA GeForce RTX 3070",
    architecture: str = "",
) -> str:
    """Return the source of a fake torch; with a label of CUDA or ROCm it sees one GPU."""
    is_cuda, is_rocm = label.startswith("cu"), label.startswith("rocm")
    return _TORCH.format(
        version=f"{TORCH_PIN}+{label}" if label else TORCH_PIN,
        cuda="13.0" if is_cuda else None,
        hip="7.1" if is_rocm else None,
        devices=int(is_cuda or is_rocm) if devices is None else devices,
        broken=broken,
        arch_list=list(arch_list),
        capability=capability,
        gpu=gpu,
        architecture=architecture,
    )


def add_wheel(
    folder: Path,
    label: str,
    source: str | None = None,
    name: str = "torch",
    requires: Sequence[str] = (),
) -> Path:
    """Make a wheel of the pinned version in ``folder``; by default a torch that works."""
    version = f"{TORCH_PIN}+{label}" if label else TORCH_PIN
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{name}/__init__.py": torch_source(label) if source is None else source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for place, content in files.items():
            wheel.writestr(place, content)
    return path
