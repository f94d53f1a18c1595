"""Results of expensive reads, kept until the campaign changes.

The key holds the campaign's `revision`, so nothing is ever invalidated: an old entry is simply
not asked for again, and ends by its age.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django.core.cache import cache

from campaigns.models import Campaign, CampaignState

T = TypeVar("T")
# A query of keys: its slices are read one by one.
Keys = Callable[[int, int], list[T]]
KEEP_SECONDS = 3600
# As many keys of an order are kept as anybody pages through; who wants more asks the database.
KEPT_KEYS = 2_000
# A running campaign of this many revisions is read anew at each; a larger one every so often.
EXACT_REVISIONS = 1_000


def cached_by_revision(
    campaign: Campaign, name: str, compute: Callable[[], T], **arguments: Any
) -> T:
    """Return what `compute` returned for this campaign, revision, name and arguments.

    `name` is the reader's own; `arguments` (JSON values) are what `compute` depends on besides
    the campaign. The value must be picklable.
    """
    return _cached(campaign, str(campaign.revision), name, compute, arguments)


def cached_roughly(campaign: Campaign, name: str, compute: Callable[[], T], **arguments: Any) -> T:
    """Like `cached_by_revision`, for reads that pass over all rows of a large campaign.

    Exact up to `EXACT_REVISIONS` and whenever the campaign is not running; else what is returned
    may lack the newest 0.2 % of the results, so that each result does not cost a pass over all.
    """
    step = 1
    if campaign.state == CampaignState.ACTIVE:
        step = max(1, campaign.revision * 2 // EXACT_REVISIONS)
    # The step grows with the revision; by its binary order, so that the steps do not drift.
    step = 1 << (step.bit_length() - 1)
    return _cached(campaign, f"{campaign.revision // step}x{step}", name, compute, arguments)


def cached_keys(
    campaign: Campaign, name: str, read: Keys[T], start: int, end: int, **arguments: Any
) -> list[T]:
    """Return the keys from `start` to `end` of an order that takes a pass over all rows to make.

    `read(start, end)` asks the database for a part of it. The first `KEPT_KEYS` are read at once
    and kept as by `cached_roughly`, so that paging back and forth sorts once.
    """
    if end > KEPT_KEYS:
        return read(start, end)
    head = cached_roughly(campaign, f"keys.{name}", lambda: read(0, KEPT_KEYS), **arguments)
    return head[start:end]


def cached_for_each(
    campaigns: Sequence[Campaign],
    name: str,
    compute: Callable[[Sequence[Campaign]], Mapping[int, T]],
) -> dict[int, T]:
    """Return a value for each campaign's id; `compute` is asked once, for those not cached."""
    keys = {_key(one, str(one.revision), name, {}): one for one in campaigns}
    found: dict[str, T] = cache.get_many(keys)
    missing = {key: one for key, one in keys.items() if key not in found}
    if missing:
        computed = compute(list(missing.values()))
        fresh = {key: computed[one.pk] for key, one in missing.items()}
        cache.set_many(fresh, KEEP_SECONDS)
        found |= fresh
    return {one.pk: found[key] for key, one in keys.items()}


def _cached(
    campaign: Campaign, version: str, name: str, compute: Callable[[], T], arguments: dict[str, Any]
) -> T:
    key = _key(campaign, version, name, arguments)
    found: T = cache.get_or_set(key, compute, KEEP_SECONDS)  # type: ignore[assignment]
    return found


def _key(campaign: Campaign, version: str, name: str, arguments: dict[str, Any]) -> str:
    detail = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:16]
    return f"xeenet:{campaign.pk}:{version}:{name}:{detail}"
