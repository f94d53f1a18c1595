"""What one task may use: decided when it begins, and kept until it ends."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum


class Priority(StrEnum):
    """When a script gets the processor and the disk."""

    NORMAL = "normal"  # like any program
    LOW = "low"  # a tenth of what a normal program gets beside it
    IDLE = "idle"  # what nobody else wants


@dataclass(frozen=True)
class Grant:
    """Threads (None: torch decides), memory of the whole process tree, and priority."""

    threads: int | None = None
    memory_bytes: int = sys.maxsize
    priority: Priority = Priority.NORMAL
