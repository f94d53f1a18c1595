"""Which results may stand in one order: those of one class. A campaign may have several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from django.core.cache import cache
from django.db.models import Q

from campaigns.caching import cached_roughly
from campaigns.models import Campaign, Result, ResultClass
from campaigns.standings import leaderboard

# The words of a class are kept for so many seconds.
_KEPT: Final = 600
# Selects results of all classes, which then stand in no common order.
EVERY_CLASS: Final = "all"


class ClassOfCampaign(NamedTuple):
    """A class with the number of the campaign's ranked results in it, and its words."""

    pk: int
    results: int
    words: str

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
    words = _words_of(counts)
    classes = [ClassOfCampaign(pk, number, words[pk]) for pk, number in counts.items()]
    return sorted(classes, key=lambda row: (-row.results, row.pk))


def _words_of(pks: Iterable[int]) -> dict[int, str]:
    """Return the words of each class. They do not change, but with the name of a worker."""
    keys = {f"xeenet:class-words:{pk}": pk for pk in pks}
    words = {keys[key]: text for key, text in cache.get_many(keys).items()}
    if missing := set(keys.values()) - words.keys():
        rows = ResultClass.objects.filter(pk__in=missing).select_related("band")
        found = {row.pk: str(row) for row in rows}
        cache.set_many({f"xeenet:class-words:{pk}": text for pk, text in found.items()}, _KEPT)
        words |= found
    return words
