"""Which results may stand in one order: those of one class. A campaign may have several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from django.core.cache import cache
from django.db.models import Q

from campaigns.caching import cached_roughly
from campaigns.models import Campaign, Result, ResultClass
from campaigns.standings import leaderboard

# What a class is called is kept for so many seconds.
_KEPT_SECONDS: Final = 600
# Selects results of all classes, which then stand in no common order.
EVERY_CLASS: Final = "all"


class _Kept(NamedTuple):
    """What a class is called, and whether its results are of a part of the validation split."""

    words: str
    is_subset: bool


@dataclass(frozen=True)
class _Together:
    """All classes of a campaign, which are read together, once for all that share this."""

    pks: tuple[int, ...]

    @cached_property
    def kept(self) -> dict[int, _Kept]:
        """What is kept of each class: one query, and without one for a while."""
        return _kept(self.pks)

    def __reduce__(self) -> tuple[type[_Together], tuple[tuple[int, ...]]]:
        return _Together, (self.pks,)  # the classes of a campaign are kept for longer


class ClassOfCampaign(NamedTuple):
    """A class with the number of the campaign's ranked results in it.

    `among` are all classes of the campaign.
    """

    pk: int
    results: int
    among: _Together

    @property
    def words(self) -> str:
        """What tells the class from others."""
        return self.among.kept[self.pk].words

    @property
    def is_subset(self) -> bool:
        """Whether its results were evaluated on a part of the validation split."""
        return self.among.kept[self.pk].is_subset

    @property
    def slug(self) -> str:
        """What names the class in an address."""
        return str(self.pk)

    @property
    def condition(self) -> Q:
        """What selects the results of the class."""
        return Q(result_class=self.pk)


def classes_of(campaign: Campaign) -> list[ClassOfCampaign]:
    """Return the classes of the campaign's ranked results, that with most results first.

    Of classes with equally many results the oldest is first.
    """
    return cached_roughly(campaign, "classes", lambda: _read(campaign))


def default_class(campaign: Campaign) -> int | None:
    """Return the id of the class with most results; None before the first result."""
    classes = classes_of(campaign)
    return classes[0].pk if classes else None


def chosen_class(campaign: Campaign, slug: str = "") -> ClassOfCampaign | None:
    """Return the class with this slug, for any other text the one with most results.

    None for EVERY_CLASS and without any results.
    """
    known = classes_of(campaign)
    if slug == EVERY_CLASS or not known:
        return None
    return next((one for one in known if one.slug == slug), known[0])


def share_a_class(results: Iterable[Result]) -> bool:
    """Return whether results, also of several campaigns, may stand in one order."""
    return len({result.result_class_id for result in results}) <= 1


def _read(campaign: Campaign) -> list[ClassOfCampaign]:
    counts: Counter[int] = Counter()
    for kind in leaderboard.kinds(campaign):
        if kind.is_ranked and kind.result_class is not None:
            counts[kind.result_class] += kind.number
    among = _Together(tuple(sorted(counts)))
    classes = [ClassOfCampaign(pk, number, among) for pk, number in counts.items()]
    return sorted(classes, key=lambda row: (-row.results, row.pk))


def _kept(pks: Iterable[int]) -> dict[int, _Kept]:
    """Return what is kept of each class. It does not change, but with the name of a worker."""
    keys = {f"xeenet:class:{pk}": pk for pk in pks}
    kept: dict[int, _Kept] = {keys[key]: row for key, row in cache.get_many(keys).items()}
    if missing := set(keys.values()) - kept.keys():
        rows = ResultClass.objects.filter(pk__in=missing).select_related("band")
        read = {row.pk: _Kept(str(row), row.eval_is_subset) for row in rows}
        cache.set_many({f"xeenet:class:{pk}": row for pk, row in read.items()}, _KEPT_SECONDS)
        kept |= read
    return kept
