"""Results of expensive reads, kept until the campaign changes.

The key holds the campaign's `revision`, so nothing is ever invalidated: an old entry is simply
not asked for again, and ends by its age.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

from django.core.cache import cache

from campaigns.models import Campaign

T = TypeVar("T")
KEEP_SECONDS = 3600


def cached_by_revision(
    campaign: Campaign, name: str, compute: Callable[[], T], **arguments: Any
) -> T:
    """Return what `compute` returned for this campaign, revision, name and arguments.

    `name` is the reader's own; `arguments` (JSON values) are what `compute` depends on besides
    the campaign. The value must be picklable.
    """
    detail = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:16]
    key = f"xeenet:{campaign.pk}:{campaign.revision}:{name}:{detail}"
    found: T = cache.get_or_set(key, compute, KEEP_SECONDS)  # type: ignore[assignment]
    return found
