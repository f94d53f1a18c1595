"""The board of arms: what raced, as its race left it, then the others by their first value."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from django.db.models import Q, QuerySet

from campaigns.caching import cached_by_revision, cached_roughly
from campaigns.models import Campaign, Race, RaceOutcome, Result, TaskPurpose
from campaigns.race.look import Decision as LookDecision
from campaigns.race.noise import NOTHING_KNOWN
from campaigns.race.value import race_values
from campaigns.race.words import Finding, leading_value, not_raced, verdict
from campaigns.standings import leaderboard
from campaigns.standings.classes import EVERY_CLASS, chosen_class, classes_of
from campaigns.standings.leaderboard import ranked_part
from campaigns.standings.race_runs import decisions_of, race_runs, rule_of

# So many first rows are cached: a page of them, and what all other readers show.
KEPT_ROWS: Final = 50


class ArmStanding(StrEnum):
    """How far an arm has come. Only the first three have a rank."""

    CHAMPION = "champion"
    TIED = "tied"
    BEHIND = "behind"
    RACING = "racing"
    DROPPED = "dropped"
    INFEASIBLE = "infeasible"
    RACED = "raced"
    SCREENED = "screened"


class ArmRow(NamedTuple):
    """One row of the board, as plain values.

    `value` is in the metric's unit: the race value of an arm that raced (None without any), else
    that of its first run. `half_width` is None while the noise is unknown. `seeds` counts race
    seeds. `at_least` says that the race stopped early, so the value still flatters the arm.
    `first_task` is the number of its first task. `screening` is the value of the first run of an
    arm that raced. `device` names where its runs were measured, on so many `workers`.
    """

    rank: int | None
    standing: str
    arm: int
    params: dict[str, Any]
    value: float | None
    half_width: float | None
    seeds: int
    at_least: bool
    bad_seeds: str
    first_task: int | None
    screening: float | None = None
    device: str = ""
    workers: int = 1


@dataclass(frozen=True)
class _Raced:
    """The arms that raced, as the board shows them, and what the last race says."""

    rows: list[ArmRow]
    sentence: str
    finding: Finding | None
    # Their first results, which the rest of the board leaves out.
    first_results: list[int]


def sentence(campaign: Campaign) -> str:
    """Return what may be claimed of the campaign's arms: the verdict of its last race."""
    return _raced(campaign).sentence


def finding(campaign: Campaign) -> Finding | None:
    """Return what the last race decided; None while nothing has raced."""
    return _raced(campaign).finding


def race_sentence(race: Race) -> str:
    """Return what may be claimed of the arms of one race."""
    return _sentence_of(race.campaign, _finding_of(race, race.campaign.arms.count()))


def first(campaign: Campaign) -> ArmRow | None:
    """Return the first row of the board; None while no arm has a value."""
    return next(iter(rows(campaign, limit=1)), None)


def leading(campaign: Campaign) -> str:
    """Return the value of the first row and what it is worth, "" without any."""
    row, spec = first(campaign), campaign.metric_spec
    if row is None or row.value is None:
        return ""
    return leading_value(
        row.standing, metric=spec.name, lowest=spec.best, value=spec.text(row.value)
    )


def count(campaign: Campaign, *, of_class: str = "") -> int:
    """Return how many rows the board of a class has; see `rows`."""
    chosen = _choose(campaign, _raced(campaign), of_class)
    return len(chosen.raced) + _screened_count(campaign, chosen)


def rows(campaign: Campaign, *, limit: int, offset: int = 0, of_class: str = "") -> list[ArmRow]:
    """Return a part of the board of a class: its slug, EVERY_CLASS, or "" for the largest.

    A champion or tie group comes first, then the other arms of the last race, then those of earlier
    races, then the rest by the value of their first run, without a rank. What raced did so in the
    largest class, so the board of another class has only first runs.
    """
    if of_class or offset + limit > KEPT_ROWS:
        return _part(campaign, of_class, offset, limit)
    head = cached_by_revision(campaign, "first-arms", lambda: _part(campaign, "", 0, KEPT_ROWS))
    return head[offset : offset + limit]


def raced_rows(campaign: Campaign) -> list[ArmRow]:
    """Return the first part of the board: the arms that raced."""
    return _raced(campaign).rows


def screened_results(campaign: Campaign) -> QuerySet[Result]:
    """Return the results behind the rest of the board, in its order; see `rows`."""
    return _screened(campaign, _choose(campaign, _raced(campaign), ""))


def _part(campaign: Campaign, of_class: str, offset: int, limit: int) -> list[ArmRow]:
    chosen = _choose(campaign, _raced(campaign), of_class)
    part = chosen.raced[offset : offset + limit]
    missing = limit - len(part)
    if missing:
        start = max(0, offset - len(chosen.raced))
        results = _screened(campaign, chosen).select_related("task__arm").defer("metrics")
        part += [screened_row(row) for row in ranked_part(results, start, start + missing)]
    return part


class _Chosen(NamedTuple):
    """What the board of a class has: the raced arms, and the condition on the other results."""

    raced: list[ArmRow]
    left_out: list[int]
    condition: Q
    # What tells it from the boards of other classes.
    slug: str


def _choose(campaign: Campaign, raced: _Raced, of_class: str) -> _Chosen:
    known = classes_of(campaign)
    chosen = chosen_class(campaign, of_class)
    # Without a condition the index alone finds a page, which is the usual case.
    if chosen is None or len(known) == 1:
        return _Chosen(raced.rows, raced.first_results, Q(), EVERY_CLASS)
    if chosen == known[0]:
        return _Chosen(raced.rows, raced.first_results, chosen.condition, chosen.slug)
    return _Chosen([], [], chosen.condition, chosen.slug)


def _screened_count(campaign: Campaign, chosen: _Chosen) -> int:
    if not chosen.left_out:
        # They were counted already, with all other results.
        return sum(
            kind.number
            for kind in leaderboard.kinds(campaign)
            if kind.is_ranked
            and kind.is_screening
            and chosen.slug in {EVERY_CLASS, str(kind.result_class)}
        )
    return cached_roughly(
        campaign,
        "screened-arms",
        lambda: _screened(campaign, chosen).count(),
        left_out=len(chosen.left_out),
        of_class=chosen.slug,
    )


def _screened(campaign: Campaign, chosen: _Chosen) -> QuerySet[Result]:
    """Return the first results of the arms that never raced, the best first."""
    results = campaign.results.ranked().filter(chosen.condition, is_screening=True)
    return results.exclude(pk__in=chosen.left_out) if chosen.left_out else results


def screened_row(result: Result) -> ArmRow:
    """Return the row of an arm that never raced, by its first result."""
    arm = result.task.arm
    return ArmRow(
        rank=None,
        standing=ArmStanding.SCREENED,
        arm=arm.number,
        params=arm.params,
        value=result.value,
        half_width=None,
        seeds=0,
        at_least=False,
        bad_seeds="",
        first_task=result.task.number,
        device=result.device_used,
    )


def _raced(campaign: Campaign) -> _Raced:
    return cached_by_revision(campaign, "arms-that-raced", lambda: _read_raced(campaign))


def _read_raced(campaign: Campaign) -> _Raced:
    races = list(campaign.races.exclude(outcome=RaceOutcome.CANCELLED).order_by("-number"))
    if not races:
        # Of the class that the board shows, whose rows are counted anyway.
        measured = _screened_count(campaign, _choose(campaign, _Raced([], "", None, []), ""))
        return _Raced([], not_raced(measured), None, [])
    board: dict[int, ArmRow] = {}
    for race in races:
        for row in _rows_of(campaign, race, is_last=race is races[0]):
            board.setdefault(row.arm, row)
    shown = list(board.values())
    screens = campaign.tasks.filter(arm__number__in=board, purpose=TaskPurpose.SCREEN)
    first = dict(screens.values_list("arm__number", "number"))
    params = dict(campaign.arms.filter(number__in=board).values_list("number", "params"))
    runs = _runs_of(campaign, board)
    shown = [
        row._replace(
            params=params[row.arm],
            first_task=first.get(row.arm),
            **_measured(runs.get(row.arm, [])),
        )
        for row in shown
    ]
    left_out = [run.pk for own in runs.values() for run in own if run.is_screening]
    last = _finding_of(races[0], campaign.arms.count())
    return _Raced(shown, _sentence_of(campaign, last), last, left_out)


class _Measured(NamedTuple):
    """What the board shows of one run of an arm that raced."""

    pk: int
    is_screening: bool
    is_ranked: bool
    value: float | None
    device: str
    worker: int | None


def _runs_of(campaign: Campaign, arms: Collection[int]) -> dict[int, list[_Measured]]:
    """Return the results of these arms by their numbers."""
    results = campaign.results.filter(arm__number__in=arms, simulated=False).order_by("pk")
    rows = results.values_list(
        "arm__number",
        "pk",
        "is_screening",
        "is_ranked",
        "value",
        "device_used",
        "attempt__worker",
    )
    runs: dict[int, list[_Measured]] = defaultdict(list)
    for arm, *run in rows:
        runs[arm].append(_Measured._make(run))
    return runs


def _measured(runs: Sequence[_Measured]) -> dict[str, Any]:
    """Return the fields of a row that tell from where its value comes."""
    screening = [run.value for run in runs if run.is_screening and run.is_ranked]
    raced = [run for run in runs if not run.is_screening] or runs
    return {
        "screening": next(iter(screening), None),
        "device": ", ".join(dict.fromkeys(run.device for run in raced)),
        "workers": max(1, len({run.worker for run in raced})),
    }


def _rows_of(campaign: Campaign, race: Race, *, is_last: bool) -> list[ArmRow]:
    """Return the arms of a race in the order of the board, without params."""
    decisions = decisions_of(race)
    last = decisions[-1] if decisions else None
    noise = last.noise if last else NOTHING_KNOWN
    values = {
        value.arm: value for value in race_values(race.arms, race.seeds, race_runs(race), noise)
    }
    standings = (
        standings_after(race, last) if is_last else dict.fromkeys(race.arms, ArmStanding.RACED)
    )
    spec = campaign.metric_spec

    def order(arm: int) -> tuple[int, float, int]:
        value = values[arm].value
        return STANDING_ORDER[standings[arm]], math.inf if value is None else value, arm

    shown: list[ArmRow] = []
    for arm in sorted(race.arms, key=order):
        value, standing = values[arm], standings[arm]
        shown.append(
            ArmRow(
                rank=_rank(standing, standings),
                standing=standing,
                arm=arm,
                params={},
                value=None if value.value is None else spec.value_of(value.value),
                half_width=value.half_width,
                seeds=value.n,
                at_least=value.at_least and standing is ArmStanding.CHAMPION,
                bad_seeds=value.bad_seeds_text,
                first_task=None,
            )
        )
    behind = [row for row in shown if row.standing == ArmStanding.BEHIND]
    places = {row.arm: place for place, row in enumerate(behind)}
    return [
        row._replace(rank=row.rank + places[row.arm]) if row.rank and row.arm in places else row
        for row in shown
    ]


STANDING_ORDER: Final = {standing: place for place, standing in enumerate(ArmStanding)}


def standings_after(race: Race, last: LookDecision | None) -> dict[int, ArmStanding]:
    """Return how the last look left each arm of a race."""
    standings = dict.fromkeys(race.arms, ArmStanding.RACING)
    if last is None:
        return standings
    standings |= dict.fromkeys(last.dropped, ArmStanding.DROPPED)
    standings |= dict.fromkeys(last.infeasible, ArmStanding.INFEASIBLE)
    if race.outcome == RaceOutcome.TIE:
        standings |= dict.fromkeys(last.group, ArmStanding.TIED)
    # While a race runs, arms are proven behind a leader that may still change.
    standings |= dict.fromkeys(
        last.behind, ArmStanding.BEHIND if race.outcome else ArmStanding.RACED
    )
    if race.outcome == RaceOutcome.CHAMPION and last.leader is not None:
        standings[last.leader] = ArmStanding.CHAMPION
    return standings


def _rank(standing: ArmStanding, standings: dict[int, ArmStanding]) -> int | None:
    """Return the rank of an arm with this standing; those behind count on from there."""
    if standing in {ArmStanding.CHAMPION, ArmStanding.TIED}:
        return 1
    if standing is not ArmStanding.BEHIND:
        return None
    ahead = {ArmStanding.CHAMPION, ArmStanding.TIED, ArmStanding.DROPPED}
    return 1 + sum(other in ahead for other in standings.values())


def _sentence_of(campaign: Campaign, last: Finding) -> str:
    spec = campaign.metric_spec
    return verdict(last, shown=lambda distance: spec.with_unit(abs(distance)))


def _finding_of(race: Race, arms: int) -> Finding:
    """Return what the last look of a race decided; `arms` is how many its campaign has."""
    last = race.decisions.order_by("-look").select_related("leader", "rival").first()
    looks = rule_of(race).looks
    return Finding(
        outcome=race.outcome,
        looks=last.look if last else 0,
        most_looks=len(looks),
        seeds=last.n or looks[last.look - 1] if last else looks[0],
        leader=last.leader.number if last and last.leader else None,
        rival=last.rival.number if last and last.rival else None,
        estimate=last.estimate if last else None,
        bound=last.bound if last else None,
        group=last.group if last else race.arms,
        behind=last.behind if last else (),
        dropped=last.dropped if last else (),
        infeasible=last.infeasible if last else (),
        seeds_to_separate=last.seeds_to_separate if last else None,
        arms=arms,
    )
