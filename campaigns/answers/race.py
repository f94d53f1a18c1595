"""Races with their decisions, and the plan of a race, for the API and the commands."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404

from campaigns.design.race_plan import plan_race
from campaigns.models import Campaign, Decision, Race
from campaigns.serializers.races import (
    DecisionDetailSerializer,
    DecisionSerializer,
    PlanSerializer,
    RaceSerializer,
)


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


def plan_data(
    campaign: Campaign, *, delta: float, power: float, now: dt.datetime
) -> dict[str, Any]:
    """Return the plan of a race that finds a gap of `delta` > 0 with a `power` in (0, 1), as JSON.

    Raises ValueError for another power.
    """
    plan = plan_race(campaign, delta, power=power, now=now)
    data: dict[str, Any] = PlanSerializer(asdict(plan)).data
    return data
