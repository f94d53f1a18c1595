"""Where each campaign stands among those that take turns: when it is next, and what it gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from campaigns.sharing.turns import Claimant


@dataclass(frozen=True)
class Standing:
    """A campaign with waiting tasks, beside the others for a worker that may run all of them.

    It is the `turn`-th of `of` campaigns; None while its turns go to another one that its owner put
    first. `share` is what it gets of the time, from 0 to 1.
    """

    turn: int | None
    of: int
    share: float


def standings(claimants: Iterable[Claimant]) -> Mapping[int, Standing]:
    """Return the standing of each campaign, in the order of turns; those without come last."""
    known = sorted(claimants, key=lambda each: (each.account, each.campaign))
    owned: dict[int | None, list[Claimant]] = defaultdict(list)
    for each in known:
        owned[each.owner].append(each)
    weights = sum(each.weight for each in known)
    shares: dict[int, float] = {}
    for of_owner in owned.values():
        first = min(each.rank for each in of_owner)
        leading = [each for each in of_owner if each.rank == first]
        pooled = sum(each.weight for each in of_owner) / weights
        among = sum(each.weight for each in leading)
        shares |= {each.campaign: pooled * each.weight / among for each in leading}
    # Of several that an owner put first, the one that is furthest behind takes the first turn.
    order: list[int] = []
    for each in known:
        rivals = [other.campaign for other in owned[each.owner] if other.campaign in shares]
        taker = each.campaign if each.campaign in shares else rivals[0]
        if taker not in order:
            order.append(taker)
    waiting = [each.campaign for each in known if each.campaign not in shares]
    places = {campaign: place for place, campaign in enumerate(order, 1)}
    return {
        campaign: Standing(places.get(campaign), len(known), shares.get(campaign, 0.0))
        for campaign in (*order, *waiting)
    }
