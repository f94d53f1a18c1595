"""The tab with a campaign's races: the arms of one race seed by seed, and how to start another."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.safestring import SafeString

from campaigns.charts.race_strips import StripDrawer, key_of
from campaigns.design.race_plan import plan_race
from campaigns.exports import race as export_race
from campaigns.models import MAX_MIN_EFFECT, MAX_RACE_SEEDS, Campaign, CampaignState, RaceOutcome
from campaigns.race.headline import newer_words
from campaigns.race.look import FEWEST_COMMON
from campaigns.race.rows import MIN_EFFECT
from campaigns.race.rule import MOST, looks_at
from campaigns.race.strip_words import (
    KIND_WORDS,
    MARK_WORDS,
    NEVER_SIMULATED,
    NO_SHARED_SEEDS,
    WHAT_A_RACE_IS,
    compared_with,
    next_look,
    race_state,
    side_words,
    standing_of_strip,
    what_starts_a_race,
)
from campaigns.race.strips import Difference, Strip
from campaigns.standings import arms, leaderboard
from campaigns.standings.headline import newer_contenders
from campaigns.standings.machines import Machine
from campaigns.standings.progress import CampaignProgress, campaign_progress
from campaigns.standings.race_strips import (
    RaceLine,
    RaceView,
    race_view,
    races_of,
    running_runs,
)
from campaigns.standings.task_counts import tasks_by_state
from campaigns.views.head import ENDED_STATES, campaign_and_now, head_context, may_race
from campaigns.views.tabs import show_tab
from xeenet_site.web.formats import HOUR, duration, two_digits
from xeenet_site.web.pages import reading_page

# So many first arms of the board are offered for a race, and so many of them ticked.
OFFERED: Final = 8
TICKED: Final = 3
# A table with more columns than this would be no table; the CSV has all seeds.
MOST_COLUMNS: Final = 24


@reading_page
def races(request: HttpRequest, pk: int, race: int | None = None) -> HttpResponse:
    """Show a race of a campaign seed by seed: the latest, or the one with this number."""
    campaign, now = campaign_and_now(pk)
    lines = races_of(campaign)
    number = lines[0].number if race is None and lines else race
    view = race_view(campaign, number) if number is not None else None
    if number is not None and view is None:
        raise Http404("There is no such race in this campaign.")
    # Counted once, for the head and for what is said of the open tasks.
    by_state = tasks_by_state(campaign)
    context = head_context(request, campaign, now, by_state=by_state)
    context["lines"] = [*map(_line, lines)]
    progress = None
    if view is None:
        progress = campaign_progress(campaign, now=now, by_state=by_state)
        context |= _nothing(campaign, progress)
    else:
        if _is_awaiting(campaign, view):
            progress = campaign_progress(campaign, now=now, by_state=by_state)
        context |= _race(campaign, view, progress)
    context |= _start(request, campaign, view) | {"tab_styles": "xeenet/race.css"}
    context |= _plan(request, campaign, now, progress.fleet if progress else None)
    return show_tab(request, "Race", "campaigns/_race.html", context)


@reading_page
def differences_csv(_request: HttpRequest, pk: int, race: int) -> StreamingHttpResponse:
    """Send every paired difference of a race as a CSV file."""
    campaign = get_object_or_404(Campaign, pk=pk)
    view = race_view(campaign, race)
    if view is None:
        raise Http404("There is no such race in this campaign.")
    name = f"campaign-{pk}-race-{race}-differences.csv"
    return StreamingHttpResponse(
        export_race.csv_lines(campaign, view),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _line(line: RaceLine) -> dict[str, Any]:
    return {
        "number": line.number,
        "state": race_state(line.outcome),
        "arms": line.arms,
        "at": line.ended_at or line.started_at,
    }


@dataclass(frozen=True)
class StripRow:
    """One arm on the page of a race; texts are written already."""

    arm: int
    params: list[tuple[str, Any]]
    standing: str
    value: str
    half_width: str
    seeds: int
    bad_seeds: str
    is_reference: bool
    is_out: bool
    median: str
    bound: str
    common: int
    drawing: SafeString
    cells: list[tuple[str, str]]
    # The seeds at the end of the table that the arm never runs.
    unused: int


def _is_awaiting(campaign: Campaign, view: RaceView) -> bool:
    """Whether a race still needs runs, and may get them."""
    return view.awaited is not None and campaign.state not in ENDED_STATES


def _race(campaign: Campaign, view: RaceView, progress: CampaignProgress | None) -> dict[str, Any]:
    running = running_runs(campaign, view)
    drawer = StripDrawer(view.strips, campaign.metric_spec, running=running)
    varying, _ = leaderboard.varying_params(campaign)
    columns = view.strips.seeds if len(view.strips.seeds) <= MOST_COLUMNS else ()
    spec = campaign.metric_spec
    up, down = side_words(spec.is_maximised)
    return {
        "race": view,
        "state": race_state(view.outcome),
        "compared_with": compared_with(view.strips),
        "up": up,
        "down": down,
        "awaits": _awaits(campaign, view, len(running), progress),
        "axis": drawer.axis(),
        "rows": [
            _row(campaign, view, strip, drawer, varying, len(columns)) for strip in view.order
        ],
        "is_low": drawer.scale.height < 60,
        "key": key_of(view.strips, lambda name: MARK_WORDS[name]),
        "columns": columns,
        "looks": len(looks_at(len(view.strips.seeds))),
        "spec": spec,
    }


def _row(
    campaign: Campaign,
    view: RaceView,
    strip: Strip,
    drawer: StripDrawer,
    varying: list[str],
    columns: int,
) -> StripRow:
    spec, value, last = campaign.metric_spec, view.values[strip.arm], strip.last
    standing = standing_of_strip(strip, view.strips, view.outcome)
    params = view.params.get(strip.arm, {})
    median = "" if last is None or last.estimate is None else drawer.signed(last.estimate)
    bound = "" if last is None or last.bound is None else drawer.size(last.bound)
    ran = sum(d.difference is not None for d in strip.differences)
    label = f"Arm {strip.arm}, {standing}: {ran} differences"
    label += f", median {median}" if median else ""
    label += f", bound ± {bound}" if bound else ""
    return StripRow(
        arm=strip.arm,
        params=[(name, params[name]) for name in varying if name in params],
        standing=standing,
        value="" if value.value is None else spec.text(spec.value_of(value.value)),
        half_width="" if value.half_width is None else spec.text(value.half_width),
        seeds=value.n,
        bad_seeds=value.bad_seeds_text,
        is_reference=strip.arm == view.strips.reference,
        is_out=strip.left_as is not None,
        median=median,
        bound=bound,
        common=last.n if last else 0,
        drawing=drawer.strip(strip, label),
        cells=_cells(strip, drawer, columns),
        unused=columns - len(strip.differences) if columns else 0,
    )


def _cells(strip: Strip, drawer: StripDrawer, columns: int) -> list[tuple[str, str]]:
    """Return a text and its explanation for each seed that the arm has run or will run."""
    if not columns:
        return []
    return [(_cell(d, drawer), KIND_WORDS[d.kind]) for d in strip.differences]


def _cell(d: Difference, drawer: StripDrawer) -> str:
    if d.difference is not None:
        return drawer.signed(d.difference)
    return {"infeasible": "∞", "reference infeasible": "−∞", "waiting": "…"}.get(d.kind, "–")


def _awaits(
    campaign: Campaign, view: RaceView, running: int, progress: CampaignProgress | None
) -> str:
    """Say what the race waits for; "" when it needs no more runs, and so has no progress."""
    if view.awaited is None or progress is None:
        return ""
    known = progress.forecast
    rate, missing = known.tasks_per_hour, len(view.awaited.open)
    return next_look(
        view.awaited,
        running=running,
        is_paused=campaign.state == CampaignState.PAUSED,
        hindrance=known.hindrance,
        eta=duration(two_digits(missing / rate * HOUR)) if rate and missing else None,
    )


def _nothing(campaign: Campaign, progress: CampaignProgress) -> dict[str, Any]:
    """Return what is said in place of a race: what one is, and what would start it."""
    kinds = leaderboard.kinds(campaign)
    measured = sum(kind.number for kind in kinds if kind.is_ranked and kind.is_screening)
    if not campaign.shares_seeds:
        why = NO_SHARED_SEEDS
    elif progress.simulated and not measured:
        why = NEVER_SIMULATED
    else:
        why = what_starts_a_race(
            is_automatic=campaign.races_automatically,
            is_over=campaign.state in ENDED_STATES,
            kept=campaign.kept_runs,
            open_tasks=progress.waiting + progress.leased,
            tasks=campaign.task_count,
            measured=measured,
        )
    return {"race": None, "what": WHAT_A_RACE_IS, "why": why}


def _plan(
    request: HttpRequest, campaign: Campaign, now: dt.datetime, fleet: Sequence[Machine] | None
) -> dict[str, Any]:
    """Return what it takes to see the difference in the address, by default the smallest sought.

    `planned_seeds` are those that the form for a new race begins with, None for the usual ones.
    """
    if not campaign.shares_seeds or campaign.state == CampaignState.DRAFT:
        return {}
    wanted = _difference_in(request)
    delta = wanted or campaign.min_effect or MIN_EFFECT
    plan = plan_race(campaign, delta, now=now, fleet=fleet)
    return {
        "plan_line": plan.sentence,
        "delta": f"{delta:.12g}",
        "most_delta": f"{MAX_MIN_EFFECT:g}",
        "planned_seeds": plan.startable_seeds if wanted else None,
    }


def _difference_in(request: HttpRequest) -> float | None:
    """Return the difference that the address asks about; None for anything else than one."""
    try:
        delta = float(request.GET.get("delta", ""))
    except ValueError:
        return None
    return delta if 0 < delta <= MAX_MIN_EFFECT else None


def _start(request: HttpRequest, campaign: Campaign, view: RaceView | None) -> dict[str, Any]:
    """Return the arms that are offered for a new race; none to those who may not start one."""
    if not may_race(request.user, campaign) or not campaign.shares_seeds:
        return {"offered": []}
    rows = arms.rows(campaign, limit=OFFERED)
    newer = newer_contenders(campaign)
    if newer:
        rest = arms.rows(campaign, limit=MOST, offset=len(arms.raced_rows(campaign)))
        rows += [row for row in rest if row.arm in newer and row not in rows]
    group = set(view.group) if view and view.outcome == RaceOutcome.TIE else set()
    is_tie = len(group) >= 2
    ticked = set(newer) or (group if is_tie else {row.arm for row in rows[:TICKED]})
    seeds = campaign.race_seeds
    if is_tie and view and view.seeds_to_separate:
        seeds = min(max(seeds, view.seeds_to_separate), MAX_RACE_SEEDS)
    spec = campaign.metric_spec
    return {
        "offered": [
            {
                "arm": row.arm,
                "value": "" if row.value is None else spec.text(row.value),
                "standing": row.standing,
                "is_ticked": row.arm in ticked,
            }
            for row in rows
        ]
        if len(rows) > 1
        else [],
        "newer_words": newer_words(newer),
        "race_seeds": seeds,
        "fewest_seeds": FEWEST_COMMON,
        "most_seeds": MAX_RACE_SEEDS,
        "spec": spec,
    }
