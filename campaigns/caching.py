"""Cached results of expensive reads, valid until the campaign changes.

The cache key contains the campaign's `revision`, so no entry has to be invalidated: a stale entry
is never read again, and expires.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django.core.cache import cache

from campaigns.models import Campaign, CampaignState

T = TypeVar("T")
# Reads the keys from a start to an end, in the order of a query.
Keys = Callable[[int, int], list[T]]
KEEP_SECONDS = 3600
# So many keys of an order are cached, more than people page through; later ones are queried.
KEPT_KEYS = 2_000
# Up to this many revisions a running campaign is read again at each; beyond, less often.
EXACT_REVISIONS = 1_000


def cached_by_revision(
    campaign: Campaign, name: str, compute: Callable[[], T], **arguments: Any
) -> T:
    """Return the cached value of `compute` for this campaign, revision, name and arguments.

    Each reader uses a `name` of its own. `arguments` (JSON values) are what `compute` depends on
    besides the campaign. The value must be picklable.
    """
    return _cached(campaign, str(campaign.revision), name, compute, arguments)


def cached_roughly(campaign: Campaign, name: str, compute: Callable[[], T], **arguments: Any) -> T:
    """Like `cached_by_revision`, for reads that pass over all rows of a large campaign.

    Exact up to `EXACT_REVISIONS` and whenever the campaign is not running. Otherwise the value may
    lack the newest 0.2 % of the results, so that not every new result costs a pass over all rows.
    """
    return _cached(campaign, _rough_version(campaign), name, compute, arguments)


def cached_keys(
    campaign: Campaign, name: str, read: Keys[T], start: int, end: int, **arguments: Any
) -> list[T]:
    """Return the keys from `start` to `end` of an order that needs a pass over all rows.

    `read(start, end)` queries a part of the order. The first `KEPT_KEYS` are read together and
    cached as by `cached_roughly`, so that paging back and forth sorts once.
    """
    if end > KEPT_KEYS:
        return read(start, end)
    head = cached_roughly(campaign, f"keys.{name}", lambda: read(0, KEPT_KEYS), **arguments)
    return head[start:end]


def cached_for_each(
    campaigns: Sequence[Campaign],
    name: str,
    compute: Callable[[Sequence[Campaign]], Mapping[int, T]],
    *,
    roughly: bool = False,
) -> dict[int, T]:
    """Return a value for each campaign's id; `compute` is called once, for those not cached.

    `roughly` keeps values as `cached_roughly` does.
    """
    by_key = {
        _key(
            campaign,
            _rough_version(campaign) if roughly else str(campaign.revision),
            name,
            {},
        ): campaign
        for campaign in campaigns
    }
    values: dict[str, T] = cache.get_many(by_key)
    missing = {key: campaign for key, campaign in by_key.items() if key not in values}
    if missing:
        computed = compute(list(missing.values()))
        fresh = {key: computed[campaign.pk] for key, campaign in missing.items()}
        cache.set_many(fresh, KEEP_SECONDS)
        values |= fresh
    return {campaign.pk: values[key] for key, campaign in by_key.items()}


def _rough_version(campaign: Campaign) -> str:
    step = 1
    if campaign.state == CampaignState.ACTIVE:
        step = max(1, campaign.revision * 2 // EXACT_REVISIONS)
    # The step grows with the revision. It is rounded down to a power of two, so that it changes
    # rarely: each change is a new key, hence another pass over all rows.
    step = 1 << (step.bit_length() - 1)
    return f"{campaign.revision // step}x{step}"


def _cached(
    campaign: Campaign, version: str, name: str, compute: Callable[[], T], arguments: dict[str, Any]
) -> T:
    # A page asks for the same up to ten times, and the cache unpickles it each time: a loaded
    # campaign keeps what it read. Its revision, which is in the key, does not change.
    read: dict[str, T] = campaign.__dict__.setdefault("_read_from_cache", {})
    key = _key(campaign, version, name, arguments)
    if key not in read:
        read[key] = cache.get_or_set(key, compute, KEEP_SECONDS)  # type: ignore[assignment]
    return read[key]


def _key(campaign: Campaign, version: str, name: str, arguments: dict[str, Any]) -> str:
    detail = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:16]
    return f"xeenet:{campaign.pk}:{version}:{name}:{detail}"
