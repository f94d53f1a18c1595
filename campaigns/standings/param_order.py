"""How the params of a campaign's arms are shown: in which order, and with which tint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db.models import OuterRef, QuerySet, Subquery

from campaigns.models import Campaign, ImportanceEstimate
from campaigns.standings import leaderboard

# A param is tinted in so many steps, from 0.
TINTS: Final = 10


def by_importance(campaign: Campaign, names: Sequence[str]) -> list[str]:
    """Return the names, those first that distinguish the runs nearest the goal.

    Only an estimate that a job has stored counts; without one the order stays. The campaign has it
    as `importance` (see `stored_importance`); otherwise one query reads it.
    """
    if hasattr(campaign, "importance"):
        estimate = campaign.importance
    else:
        estimate = _estimates(campaign.pk).values_list("found", flat=True).first()
    if not estimate:
        return list(names)
    shares = {row["name"]: row["share"] for row in estimate["importance"]["parameters"]}
    return sorted(names, key=lambda name: -shares.get(name, 0.0))


def stored_importance() -> Subquery:
    """Return the stored estimate of a campaign, for the query that reads the campaign."""
    return Subquery(_estimates(OuterRef("pk")).values("found")[:1])


def _estimates(campaign: Any) -> QuerySet[ImportanceEstimate]:
    return ImportanceEstimate.objects.filter(campaign=campaign, device="", found__isnull=False)


def tints(parameter: Mapping[str, Any]) -> Mapping[Any, int] | tuple[float, float, bool] | None:
    """Return by what the values of a parameter of a search space are tinted; see `tint`.

    None for words and truth values, which have no order.
    """
    if parameter["type"] == "choice":
        values = parameter["values"]
        if not all(_is_number(value) for value in values) or len(values) < 2:
            return None
        ordered = sorted(values)
        return {value: round(TINTS * n / (len(ordered) - 1)) for n, value in enumerate(ordered)}
    return parameter["low"], parameter["high"], bool(parameter.get("log"))


def tint(value: Any, scale: Mapping[Any, int] | tuple[float, float, bool] | None) -> int | None:
    """Return the place of a value in its range, from 0 to TINTS; None where it has none."""
    if scale is None or not _is_number(value):
        return None
    if isinstance(scale, Mapping):
        place: int | None = scale.get(value)
        return place
    low, high, is_log = scale
    if not low <= value <= high or low == high:
        return None
    if is_log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    result: int = round(TINTS * (value - low) / (high - low))
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def tint_scales(campaign: Campaign) -> dict[str, Any]:
    """Return by what each varying param of a campaign is tinted."""
    varying, _ = leaderboard.varying_params(campaign)
    return {
        parameter["name"]: tints(parameter)
        for parameter in campaign.search_space["parameters"]
        if parameter["name"] in varying
    }
