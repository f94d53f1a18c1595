"""How a script stands back behind the owner's own programs.

Only scripts are given a priority, never the agent: an ordinary user cannot take it back.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Final

import psutil

from workers.agent.grants import Priority

_NICE: Final = {"low": 10, "idle": 19}


def lower(pid: int, priority: Priority) -> str:
    """Give a process that was just started, and so its children to come, the priority.

    For systems without a guardian, which does it on Linux before the script exists. Returns what
    did not work, "" when all did.
    """
    if priority is Priority.NORMAL:
        return ""
    try:
        process = psutil.Process(pid)
        if sys.platform == "win32":
            is_low = priority is Priority.LOW
            process.nice(
                psutil.BELOW_NORMAL_PRIORITY_CLASS if is_low else psutil.IDLE_PRIORITY_CLASS
            )
            with contextlib.suppress(psutil.Error):
                process.ionice(psutil.IOPRIO_LOW if is_low else psutil.IOPRIO_VERYLOW)
        else:
            process.nice(max(process.nice(), _NICE[priority]))
    except psutil.NoSuchProcess:
        return ""  # it has ended already
    except (psutil.Error, OSError) as error:
        return f"the priority {priority}: {error}"
    return ""
