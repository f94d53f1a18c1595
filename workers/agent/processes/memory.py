"""How much memory the processes of a run use together, with pages that they share counted once.

The sum of their resident sizes counts a shared page once per process: four loaders that read the
same 600 MiB look like 3 GB. So the proportional size (PSS) is used where the system has it: a page
shared by four processes is a quarter of a page in each. Elsewhere it is the unshared pages of all,
and the largest shared part of one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil


def used_bytes(processes: Iterable[psutil.Process], limit_bytes: int) -> int:
    """Return the bytes of memory that the processes use together.

    Finding the shared pages takes 17 ms per GiB, so it is only done when the sum of the resident
    sizes, which is never too small, is above ``limit_bytes``.
    """
    resident = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            resident[process] = int(process.memory_info().rss)
    total = sum(resident.values())
    return total if total <= limit_bytes else _bytes_without_repeats(resident)


def _bytes_without_repeats(resident: dict[psutil.Process, int]) -> int:
    """Return the memory of the processes, given their resident sizes in bytes.

    A process whose pages cannot be looked into counts with its resident size: a script can forbid
    it (PR_SET_DUMPABLE), and must not gain by that.
    """
    total = largest_shared = 0
    for process, rss in resident.items():
        try:
            figures = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError):
            total += rss
            continue
        proportional = getattr(figures, "pss", 0)  # only on Linux; some kernels report nothing
        if proportional > 0:
            total += int(proportional)
        else:
            total += int(figures.uss)
            largest_shared = max(largest_shared, int(figures.rss) - int(figures.uss))
    return total + largest_shared
