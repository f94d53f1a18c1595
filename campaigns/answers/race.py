"""Races with their decisions, and the plan of a race, for the API and the commands."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404

from campaigns.design.race_plan import plan_race
from campaigns.exports.race import difference_row
from campaigns.models import Campaign, Decision, Race
from campaigns.race.strips import Strip
from campaigns.serializers.races import (
    DecisionDetailSerializer,
    DecisionSerializer,
    DifferencesSerializer,
    PlanSerializer,
    RaceSerializer,
)
from campaigns.standings.race_strips import RaceView, race_view


def races() -> QuerySet[Race]:
    """Return all races with what `RaceSerializer` reads, in two queries."""
    decisions = Decision.objects.defer("saw")
    return Race.objects.prefetch_related(Prefetch("decisions", decisions))


def race_detail(pk: int) -> dict[str, Any]:
    """Return one race as JSON data. Raises Http404."""
    data: dict[str, Any] = RaceSerializer(get_object_or_404(races(), pk=pk)).data
    return data


def races_of(campaign: Campaign) -> list[dict[str, Any]]:
    """Return the races of a campaign as JSON data, the newest first."""
    rows = races().filter(campaign=campaign).order_by("-number")
    return [dict(row) for row in RaceSerializer(rows, many=True).data]


def decisions() -> QuerySet[Decision]:
    """Return all decisions with what `DecisionSerializer` reads, in one query.

    `saw` is read only by the detail: it may hold 100,000 runs.
    """
    rows = Decision.objects.select_related("race", "leader", "rival")
    unread = ("race__arms", "race__seeds", "leader__params", "rival__params")
    return rows.defer("saw", *unread)


def decision_detail(pk: int) -> dict[str, Any]:
    """Return one decision with everything it saw, as JSON data. Raises Http404."""
    decision = get_object_or_404(decisions(), pk=pk)
    data: dict[str, Any] = DecisionDetailSerializer(decision).data
    return data


def decisions_of(campaign: Campaign) -> list[dict[str, Any]]:
    """Return the decisions of a campaign as JSON data, the newest first, without what they saw."""
    rows = decisions().filter(race__campaign=campaign).order_by("-id")
    return [dict(row) for row in DecisionSerializer(rows, many=True).data]


def decision_details_of(campaign: Campaign) -> list[dict[str, Any]]:
    """Return the decisions of a campaign as JSON data, the newest first, with what they saw."""
    rows = Decision.objects.select_related("race", "leader", "rival")
    rows = rows.filter(race__campaign=campaign).order_by("-id")
    return [dict(row) for row in DecisionDetailSerializer(rows, many=True).data]


def differences_of(campaign: Campaign, number: int) -> dict[str, Any]:
    """Return every paired difference of a race of the campaign as JSON data. Raises Http404."""
    view = race_view(campaign, number)
    if view is None:
        raise Http404("The campaign has no such race.")
    spec, strips = campaign.metric_spec, view.strips
    data: dict[str, Any] = DifferencesSerializer(
        {
            "campaign_id": campaign.pk,
            "race": view.number,
            "outcome": view.outcome,
            "verdict": view.sentence,
            "metric": spec.name,
            "unit": spec.unit,
            "direction": spec.direction,
            "compared_with": strips.reference,
            "is_leader": strips.is_decided,
            "looks": [
                {"look": look, "seeds": seeds, "leader": leader}
                for look, (seeds, leader) in enumerate(
                    zip(strips.ends, strips.leaders, strict=False), start=1
                )
            ],
            "arms": [_strip_row(campaign, view, strip) for strip in view.order],
        }
    ).data
    return data


def _strip_row(campaign: Campaign, view: RaceView, strip: Strip) -> dict[str, Any]:
    spec, value = campaign.metric_spec, view.values[strip.arm]
    return {
        "arm": strip.arm,
        "standing": view.standings[strip.arm],
        "left_at_look": strip.left_at,
        "left_as": strip.left_as or "",
        "value": None if value.value is None else spec.value_of(value.value),
        "half_width": value.half_width,
        "looks": [
            {
                "look": look,
                "n": rival.n,
                "median": None if rival.estimate is None else spec.value_of(rival.estimate),
                "bound": rival.bound,
                "is_behind": rival.is_behind,
            }
            for look, rival in strip.looks
        ],
        "differences": [difference_row(campaign, d) for d in strip.differences],
    }


def plan_data(
    campaign: Campaign, *, delta: float, power: float, now: dt.datetime
) -> dict[str, Any]:
    """Return the plan of a race that finds a gap of `delta` > 0 with a `power` in (0, 1), as JSON.

    Raises ValueError for another power.
    """
    plan = plan_race(campaign, delta, power=power, now=now)
    data: dict[str, Any] = PlanSerializer(asdict(plan)).data
    return data
