"""Which params of an arm are unlike what its campaign tried: those that are worth reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median_low, quantiles
from typing import Any, Final

from campaigns.caching import cached_roughly
from campaigns.models import Campaign

# More arms would not move the middle.
MOST_ARMS: Final = 2_000


@dataclass(frozen=True)
class Usual:
    """What is usual of a parameter.

    Of fractions the middle half, of whole numbers the median, of words the commonest.
    """

    low: float | None
    high: float | None
    levels: tuple[Any, ...]

    def has(self, param: Any) -> bool:
        """Return whether a value of the parameter is usual."""
        if self.low is None or self.high is None or not _is_number(param):
            return param in self.levels
        return bool(self.low <= param <= self.high)


def unlike_usual(campaign: Campaign, params: Mapping[str, Any]) -> set[str]:
    """Return the names of the params that differ from what the campaign's arms have mostly."""
    usual: dict[str, Usual] = cached_roughly(
        campaign,
        "usual-params",
        lambda: usual_params(
            campaign.arms.order_by("number").values_list("params", flat=True)[:MOST_ARMS]
        ),
    )
    return {name for name, param in params.items() if name in usual and not usual[name].has(param)}


def usual_params(arms: Iterable[Mapping[str, Any]]) -> dict[str, Usual]:
    """Return what is usual of each parameter of these arms."""
    by_name: dict[str, list[Any]] = {}
    for params in arms:
        for name, param in params.items():
            by_name.setdefault(name, []).append(param)
    return {name: _usual(values) for name, values in by_name.items()}


def _usual(values: list[Any]) -> Usual:
    if all(map(_is_number, values)):
        if len(values) > 1 and any(isinstance(value, float) for value in values):
            low, _, high = quantiles(values, n=4, method="inclusive")
            return Usual(low, high, ())
        return Usual(None, None, (median_low(values),))
    counts = Counter(map(_hashable, values))
    most = max(counts.values())
    return Usual(None, None, tuple(level for level, number in counts.items() if number == most))


def _is_number(param: Any) -> bool:
    return isinstance(param, int | float) and not isinstance(param, bool)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
