"""The seed list of a campaign: the seeds on which each of its arms may run, in this order. Pure.

All arms share the list, so their runs can be compared seed by seed. It follows from the base seed
alone: it has no end, and it is the same on every platform and in every clone.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from itertools import count
from typing import Final

# `index_of` looks for a seed among so many.
SEARCHED: Final = 1_024
_SHORTEST: Final = 64


def seed_at(base_seed: int, index: int) -> int:
    """Return the seed of this index, from 0: the base seed, then hashes of it, none twice.

    The hash number j is the first 31 bits of the sha256 of "base_seed:j".
    """
    length = _SHORTEST
    while length <= index:
        length *= 2
    return _first(base_seed, length)[index]


def index_of(base_seed: int, seed: int) -> int | None:
    """Return the index of a seed among the first `SEARCHED` of the list, or None."""
    seeds = _first(base_seed, SEARCHED)
    return seeds.index(seed) if seed in seeds else None


@lru_cache(maxsize=64)
def _first(base_seed: int, length: int) -> tuple[int, ...]:
    seeds = {base_seed: None}  # a dictionary keeps the order
    hashes = count(1)
    while len(seeds) < length:
        digest = hashlib.sha256(f"{base_seed}:{next(hashes)}".encode()).digest()
        seeds.setdefault(int.from_bytes(digest[:4]) >> 1)
    return tuple(seeds)
