"""The params of an arm as bars: where each value lies in its range, and whether that is usual."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from campaigns.models import Campaign
from campaigns.standings import leaderboard
from campaigns.standings.usual_params import Usual, usual_params
from xeenet_site.web.formats import value

# The bar in units of its drawing, with room for half a dot at both ends.
LENGTH: Final = 160
_EDGE: Final = 5
# More levels are drawn as a line.
_MOST_TICKS: Final = 16


@dataclass(frozen=True)
class ParamBar:
    """One param. `x` is the place of its value on the bar, None where the range has none.

    `low` and `high` are the ends of the range as text, `band` the place of the usual values.
    """

    name: str
    text: str
    low: str
    high: str
    x: float | None
    band: tuple[float, float] | None
    ticks: list[float]
    is_log: bool
    is_unusual: bool

    @property
    def band_width(self) -> float:
        return round(self.band[1] - self.band[0], 1) if self.band else 0.0


def param_bars(campaign: Campaign, params: Mapping[str, Any]) -> list[ParamBar]:
    """Return a bar for each param that can vary, in the order of the search space."""
    varying, _ = leaderboard.varying_params(campaign)
    usual = usual_params(campaign)
    by_name = {parameter["name"]: parameter for parameter in campaign.search_space["parameters"]}
    return [
        _bar(by_name[name], params[name], usual.get(name)) for name in varying if name in params
    ]


def _bar(parameter: dict[str, Any], param: Any, usual: Usual | None) -> ParamBar:
    is_choice = parameter["type"] == "choice"
    levels = parameter["values"] if is_choice else []
    ends = (levels[0], levels[-1]) if is_choice else (parameter["low"], parameter["high"])
    band = None
    if usual is not None and usual.low is not None:
        low, high = _x(parameter, usual.low), _x(parameter, usual.high)
        if low is not None and high is not None:
            band = (max(0.0, low - 2), high + 2)
    return ParamBar(
        name=parameter["name"],
        text=value(param),
        low=value(ends[0]),
        high=value(ends[1]),
        x=_x(parameter, param),
        band=band,
        ticks=[_at(place / (len(levels) - 1)) for place in range(len(levels))]
        if 1 < len(levels) <= _MOST_TICKS
        else [],
        is_log=bool(parameter.get("log")),
        is_unusual=usual is not None and not usual.has(param),
    )


def _x(parameter: dict[str, Any], param: Any) -> float | None:
    """Return the place of a value on the bar; None for a value outside a choice."""
    if parameter["type"] == "choice":
        # By type, too, because 1 == True.
        places = [
            place
            for place, level in enumerate(parameter["values"])
            if (type(level), level) == (type(param), param)
        ]
        return _at(places[0] / max(1, len(parameter["values"]) - 1)) if places else None
    if not isinstance(param, int | float):
        return None
    low, high = parameter["low"], parameter["high"]
    if parameter.get("log"):
        low, high, param = math.log(low), math.log(high), math.log(max(param, low))
    return _at(min(1.0, max(0.0, (param - low) / (high - low))))


def _at(share: float) -> float:
    return round(_EDGE + (LENGTH - 2 * _EDGE) * share, 1)
