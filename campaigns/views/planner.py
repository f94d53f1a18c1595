"""The planner on pages: a difference to be seen, what it takes, and the button that does it."""

from __future__ import annotations

import math
from typing import Any, Final

from django.http import QueryDict

from campaigns.design.race_plan import RacePlan
from campaigns.models import MAX_MIN_EFFECT
from campaigns.race.plan_words import reach_sentence, start_words
from campaigns.race.rows import MIN_EFFECT
from campaigns.race.rule import SEEDS
from xeenet_site.web.formats import HOUR, duration, percent

# The name of the field, in forms and addresses.
FIELD: Final = "worth_seeing"
# A difference twice as large as the smallest one that matters.
USUAL: Final = 2 * MIN_EFFECT


def worth_seeing(fields: QueryDict, *, usual: float = USUAL) -> float | None:
    """Return the difference in the fields of a request: `usual` if there is none, None for junk."""
    text = fields.get(FIELD, "").strip()
    if not text:
        return usual if usual > 0 else USUAL
    try:
        number = float(text[:50])
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 < number <= MAX_MIN_EFFECT else None


def planner(plan: RacePlan | None, fields: QueryDict, *, usual: float = USUAL) -> dict[str, Any]:
    """Return what `_planner.html` shows of a plan; without one the field alone."""
    typed = fields.get(FIELD, "").strip()[:50]
    shown: dict[str, Any] = {
        "name": FIELD,
        "value": typed or f"{worth_seeing(fields, usual=usual):g}",
        "most": f"{MAX_MIN_EFFECT:g}",
        "plan": plan,
    }
    if plan is None:
        return shown
    took = "" if plan.hours is None else duration(plan.hours * HOUR)
    seeds = plan.startable_seeds
    shown["start"] = start_words(seeds, took) if seeds else ""
    if plan.chance is not None and (seeds is None or seeds > SEEDS):
        shown["reach"] = reach_sentence(seeds=SEEDS, chance=percent(plan.chance))
    return shown
