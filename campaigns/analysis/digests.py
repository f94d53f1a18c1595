"""What a comparison needs of campaigns' measured results, in one pass over those of all of them."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from campaigns.caching import cached_for_each
from campaigns.models import Campaign, Result
from campaigns.standings import arms
from campaigns.standings.raced import ArmRow, raced_of

MAX_RECORDS: Final = 400


@dataclass(frozen=True)
class Record:
    """A measured result that was better than all before it. `order` counts results from 1."""

    order: int
    at: dt.datetime
    value: float


@dataclass(frozen=True)
class Digest:
    """A summary of a campaign's measured results, all that a comparison needs of them."""

    measured: int
    median: float | None
    # The first arm on the campaign's board.
    first: ArmRow | None
    records: Sequence[Record]
    last_at: dt.datetime | None
    devices: Sequence[str]


class _Pass:
    """What one pass over the measured results of a campaign gathers, in the order they came."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.records: list[Record] = []
        self.best_key = math.inf
        self.devices: set[str] = set()
        self.last_at: dt.datetime | None = None
        # Results of each class, and its best first seed: what the board begins with without a race.
        self.classes: Counter[int | None] = Counter()
        self.first: dict[int | None, tuple[float, dt.datetime, int]] = {}

    def add(
        self,
        pk: int,
        value: float,
        sort_key: float,
        at: dt.datetime,
        device: str,
        result_class: int | None,
        is_screening: bool,
    ) -> None:
        """Take the next result."""
        self.values.append(value)
        self.devices.add(device)
        self.last_at = at
        self.classes[result_class] += 1
        key = (sort_key, at, pk)
        if is_screening and key < self.first.get(result_class, (math.inf, at, 0)):
            self.first[result_class] = key
        if sort_key < self.best_key:
            self.records.append(Record(len(self.values), at, value))
            self.best_key = sort_key

    @property
    def screened(self) -> int | None:
        """The result of the first row of a board on which nothing raced: of its largest class."""
        largest = min(self.classes, key=lambda pk: (-self.classes[pk], pk or 0), default=None)
        key = self.first.get(largest)
        return key[2] if key else None


_PASS: Final = (
    *("campaign_id", "pk", "value", "sort_key", "created_at"),
    *("device_used", "result_class_id", "is_screening"),
)


def digests(campaigns: Sequence[Campaign]) -> dict[int, Digest]:
    """Summarise the measured results of each campaign: four queries for all that are not cached.

    It reads all of their results.
    """
    return cached_for_each(campaigns, "comparison", _digests, roughly=True)


def _digests(campaigns: Sequence[Campaign]) -> dict[int, Digest]:
    rows = Result.objects.filter(campaign__in=campaigns, is_ranked=True).order_by(
        "created_at", "id"
    )
    passes = {campaign.pk: _Pass() for campaign in campaigns}
    for campaign, *row in rows.values_list(*_PASS).iterator():
        passes[campaign].add(*row)
    raced = raced_of(campaigns)
    # What raced comes first.
    unraced = {pk: own.screened for pk, own in passes.items() if not raced[pk].rows}
    firsts = Result.objects.select_related("task__arm").defer("metrics")
    screened = firsts.in_bulk([pk for pk in unraced.values() if pk is not None])
    return {
        pk: _digest(
            own,
            raced[pk].rows[0]
            if raced[pk].rows
            else arms.screened_row(screened[first])
            if (first := unraced[pk]) in screened
            else None,
        )
        for pk, own in passes.items()
    }


def _digest(own: _Pass, first: ArmRow | None) -> Digest:
    # There are few records, unless somebody reports ever better values on purpose: bound them.
    step = -(-len(own.records) // MAX_RECORDS) or 1
    return Digest(
        measured=len(own.values),
        median=statistics.median(own.values) if own.values else None,
        first=first,
        records=own.records[::-1][::step][::-1],
        last_at=own.last_at,
        devices=sorted(own.devices),
    )
