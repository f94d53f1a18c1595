"""Which results may stand in one order: those of one class.

A result without a class, from before the classes, falls back on what always told them apart: the
kind of device, and whether the whole validation split was evaluated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db.models import Q

from campaigns.caching import cached_roughly
from campaigns.models import BudgetKind, Campaign, Result, ResultClass
from campaigns.standings import leaderboard

# Selects results of all classes, which then stand in no common order.
EVERY_CLASS: Final = "all"
SUBSET_WORDS: Final = "part of the validation"


class ClassKey(NamedTuple):
    """What tells classes apart: the id of a class alone, or device kind and evaluation."""

    result_class: int | None
    device_kind: str
    is_subset: bool

    @property
    def condition(self) -> Q:
        """What selects the results of the class."""
        if self.result_class is not None:
            return Q(result_class=self.result_class)
        # "cuda:0" and "cuda:1" are one kind; "cudax" would be another.
        device = Q(device_used=self.device_kind) | Q(device_used__startswith=f"{self.device_kind}:")
        return Q(device, result_class__isnull=True, eval_is_subset=self.is_subset)

    @property
    def slug(self) -> str:
        """What names the class in an address."""
        if self.result_class is not None:
            return str(self.result_class)
        return f"{self.device_kind}{'-subset' if self.is_subset else ''}"


@dataclass(frozen=True)
class CampaignClass:
    """A class with results in a campaign: its key, its words, how many ranked results it has."""

    key: ClassKey
    label: str
    number: int


def class_key(result_class: int | None, device: str, is_subset: bool) -> ClassKey:
    """Return what must be equal for two results to stand in one order."""
    if result_class is not None:
        return ClassKey(result_class, "", False)
    return ClassKey(None, device.partition(":")[0], is_subset)


def classes(campaign: Campaign) -> list[CampaignClass]:
    """Return the classes of a campaign's ranked results, the largest first."""
    return cached_roughly(campaign, "classes", lambda: _classes(campaign))


def _classes(campaign: Campaign) -> list[CampaignClass]:
    numbers: Counter[ClassKey] = Counter()
    for kind in leaderboard.kinds(campaign):
        if kind.is_ranked:
            numbers[class_key(kind.result_class, kind.device, kind.is_subset)] += kind.number
    stored = ResultClass.objects.select_related("band").in_bulk(
        [key.result_class for key in numbers if key.result_class is not None]
    )
    return [
        CampaignClass(key, _label(key, stored), number)
        for key, number in sorted(numbers.items(), key=lambda pair: (-pair[1], pair[0].slug))
    ]


def chosen_class(campaign: Campaign, slug: str = "") -> CampaignClass | None:
    """Return the class with this slug, for any other text the one with most results.

    None for EVERY_CLASS and without any results.
    """
    known = classes(campaign)
    if slug == EVERY_CLASS or not known:
        return None
    return next((one for one in known if one.key.slug == slug), known[0])


def _label(key: ClassKey, stored: dict[int, ResultClass]) -> str:
    if key.result_class is not None:
        return str(stored[key.result_class])
    return f"{key.device_kind}, {SUBSET_WORDS}" if key.is_subset else key.device_kind


def share_a_class(results: Iterable[Result]) -> bool:
    """Return whether results, also of several campaigns, may stand in one order."""
    return len({_key_everywhere(result) for result in results}) <= 1


def _key_everywhere(result: Result) -> tuple[Any, ...]:
    key = class_key(result.result_class_id, result.device_used, result.eval_is_subset)
    if key.result_class is not None:
        return tuple(key)
    campaign = result.campaign
    spec = campaign.metric_spec
    # The guard of a work budget is no part of the question.
    is_time = campaign.budget_kind == BudgetKind.TIME
    return (
        *key,
        *(campaign.package_id, campaign.dataset_id, spec.name, spec.version),
        campaign.time_budget_seconds if is_time else (campaign.work_unit, campaign.work_amount),
    )
