"""Which values of a param are usual in a campaign: the one rule by which pages mark unusual ones.

The figure of the first arm, the card in the chart, and the panel beside a page follow it.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db.models import F, Subquery, Value
from django.db.models.functions import Mod

from campaigns.caching import cached_roughly
from campaigns.models import Campaign

# So many arms are read at most, evenly spread over their numbers.
ARMS_READ: Final = 400
# With fewer arms nothing is usual.
FEWEST_ARMS: Final = 4


class Usual(NamedTuple):
    """The median of a param over the arms, and the bounds of what counts as usual around it.

    For a range these are the bounds of the middle half of its values, for a choice of numbers the
    median itself. For a choice of words `middle` is the most frequent one, without bounds.
    """

    middle: Any
    low: float | None
    high: float | None

    def has(self, value: Any) -> bool:
        """Return whether the value is usual."""
        if self.low is None or self.high is None or not _is_number(value):
            return bool(value == self.middle)
        return bool(self.low <= value <= self.high)


def usual_params(campaign: Campaign) -> dict[str, Usual]:
    """Return what is usual of each param; {} for a campaign with fewer than `FEWEST_ARMS` arms."""
    return cached_roughly(campaign, "usual-params", lambda: _read(campaign))


def unusual(campaign: Campaign, params: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return those of the names whose param is unlike what is usual in the campaign."""
    usual = usual_params(campaign)
    return [name for name in names if name in usual and not usual[name].has(params.get(name))]


def _read(campaign: Campaign) -> dict[str, Usual]:
    last = campaign.arms.order_by("-number").values("number")[:1]
    # Every arm up to `ARMS_READ` of them, every second up to twice as many …
    every = (Subquery(last) + Value(ARMS_READ)) / Value(ARMS_READ)
    arms = campaign.arms.annotate(rest=Mod(F("number"), every)).filter(rest=0)
    rows = list(arms.order_by().values_list("params", flat=True))
    if len(rows) < FEWEST_ARMS:
        return {}
    usual: dict[str, Usual] = {}
    for parameter in campaign.search_space["parameters"]:
        name = parameter["name"]
        values = [row[name] for row in rows if name in row]
        if values:
            usual[name] = _usual(values, is_choice=parameter["type"] == "choice")
    return usual


def _usual(values: list[Any], *, is_choice: bool) -> Usual:
    if not all(map(_is_number, values)):
        # Written out, because 1 == True.
        frequent, _ = Counter(map(repr, values)).most_common(1)[0]
        return Usual(next(value for value in values if repr(value) == frequent), None, None)
    if is_choice:
        middle = statistics.median_low(values)
        return Usual(middle, middle, middle)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Usual(middle, low, high)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
