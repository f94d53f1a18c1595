"""What the machine tells about its owner's use of it, at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Facts:
    """None: this machine does not tell. `idle_source` says who does, or why nobody does."""

    foreign_cores: float | None = None  # that other programs use, without this agent's own scripts
    free_cores: float | None = None  # of those that this agent may use
    left_memory_bytes: int | None = None  # free, or used by this agent's own scripts
    idle_seconds: float | None = None  # since the person's last key or movement
    idle_source: str = ""
    is_idle_pending: bool = False  # who tells was just asked for the first time
    on_battery: bool | None = None
    metered: bool | None = None
    temperature: float | None = None  # of the hottest part of the processor, in degrees Celsius

    def as_values(self) -> dict[str, Any]:
        """Return the facts as plain values of JSON."""
        return asdict(self)
