"""The board of arms as a campaign's page shows it: each row's cells and its interval glyph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.core.paginator import Paginator
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from campaigns import steering
from campaigns.charts import glyph
from campaigns.lifecycle import MOST_TIMES_AGAIN
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import MAX_MIN_EFFECT, MAX_RACE_SEEDS, Campaign
from campaigns.race.look import FEWEST_COMMON
from campaigns.race.rule import FEWEST_TASKS, MAX_RESERVE, reserve_of
from campaigns.race.words import STANDING_WORDS
from campaigns.standings import arms
from campaigns.standings.classes import EVERY_CLASS, chosen_class, classes_of
from campaigns.standings.leaderboard import whole_params
from campaigns.standings.paired import PairedRows, arm_in_address, paired_rows
from campaigns.standings.param_order import by_importance, tint, tint_scales
from campaigns.standings.raced import ArmRow, ArmStanding
from campaigns.views.glyphs import interval
from campaigns.views.head import ENDED_STATES, may_race
from campaigns.views.table_heads import PARAMS_ON_A_PHONE
from experiments.metrics import MetricSpec
from xeenet_site.web.formats import unknown, value

# One or two screens. Twice as many rows take nearly twice the time to render.
ARMS_PER_PAGE: Final = arms.KEPT_ROWS
# Longer fractions are rounded; the whole number is in the cell's title.
LONGEST_FLOAT: Final = 8


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One row. Markup where it says so; all other fields need no escaping."""

    arm: int
    rank: int | None
    # "first", "tied", "alone" (never raced) or "": how the row looks.
    look: str
    standing: str
    why: str
    url: str
    value: SafeString
    half_width: str
    at_least: bool
    glyph: SafeString
    seeds: int
    bad_seeds: str
    # A cell for each param that varies, as markup.
    params: SafeString
    device: str
    workers: int
    # The difference to the baseline arm; "" without any pair.
    paired: str


@dataclass(frozen=True, slots=True)
class ParamHead:
    """The column of a param."""

    name: str
    is_number: bool
    wide_only: bool


class ClassInMenu(NamedTuple):
    """A class of results that the board can show, and how many results it has."""

    slug: str
    words: str
    results: int


def board_context(
    request: HttpRequest, campaign: Campaign, varying: Sequence[str]
) -> dict[str, Any]:
    """Return the page of the board of arms that the address selects."""
    slug = request.GET.get("class", "")
    paginator: Paginator[ArmRow] = Paginator((), ARMS_PER_PAGE)
    paginator.count = arms.count(campaign, of_class=slug)
    page = paginator.get_page(request.GET.get("page"))
    offset = (page.number - 1) * ARMS_PER_PAGE
    rows = arms.rows(campaign, limit=ARMS_PER_PAGE, offset=offset, of_class=slug)
    chosen = chosen_class(campaign, slug)
    spec, whole = campaign.metric_spec, whole_params(campaign)
    # Of all classes together no value is the first.
    first = None if slug == EVERY_CLASS else arms.first(campaign)
    leader = interval(first) if first else None
    scale = glyph.scale_of(
        [interval(row) for row in rows] + ([leader] if leader and not offset else []),
        is_maximised=spec.is_maximised,
    )
    names = by_importance(campaign, varying)
    classes = classes_of(campaign)
    baseline = arm_in_address(campaign, request.GET.get("baseline", ""))
    paired = paired_rows(campaign, rows, of_class=slug, baseline=baseline)
    return {
        "page": page,
        "rows": board_rows(campaign, rows, names, whole, scale, leader, paired),
        "paired": paired,
        "scale_ends": scale.ends if scale else None,
        "param_heads": [
            ParamHead(name, name in whole, place >= PARAMS_ON_A_PHONE)
            for place, name in enumerate(names)
        ],
        "spec": spec,
        "may_race": may_race(request.user, campaign),
        "classes": tuple(ClassInMenu(row.slug, row.words, row.results) for row in classes),
        "shown_class": chosen.slug if chosen else EVERY_CLASS,
        "class_words": chosen.words if chosen else "all classes",
        "every_class": EVERY_CLASS,
        "fewest_seeds": FEWEST_COMMON,
        "most_seeds": MAX_RACE_SEEDS,
        "usual_seeds": campaign.race_seeds,
        "most_again": MOST_TIMES_AGAIN,
    }


def board_rows(
    campaign: Campaign,
    rows: Sequence[ArmRow],
    names: Sequence[str],
    whole: set[str],
    scale: glyph.Scale | None,
    leader: glyph.Interval | None,
    paired: PairedRows,
) -> tuple[BoardRow, ...]:
    """Return the rows of the board with the params `names` in this order."""
    spec, scales = campaign.metric_spec, tint_scales(campaign)
    url = reverse("task", args=[campaign.pk, 0]).removesuffix("0/")
    heads = [
        (
            name,
            scales.get(name),
            ("number" if name in whole else "param")
            + (" wide-only" if place >= PARAMS_ON_A_PHONE else ""),
        )
        for place, name in enumerate(names)
    ]
    return tuple(
        BoardRow(
            arm=row.arm,
            rank=row.rank,
            look=_look(row),
            standing=row.standing,
            why=STANDING_WORDS[row.standing],
            url="" if row.first_task is None else f"{url}{row.first_task}/",
            value=_value(row, spec),
            half_width="" if row.half_width is None else spec.text(row.half_width),
            at_least=row.at_least,
            glyph=glyph.svg(interval(row), scale, leader=leader) if scale else mark_safe(""),
            # An arm that never raced has its value from its first seed alone.
            seeds=row.seeds if row.standing != ArmStanding.SCREENED else 1,
            bad_seeds=row.bad_seeds,
            params=_params(row.params, heads),
            device=row.device,
            workers=row.workers,
            paired=paired.text(row.arm, spec),
        )
        for row in rows
    )


def _look(row: ArmRow) -> str:
    if row.standing == ArmStanding.CHAMPION:
        return "first"
    if row.standing == ArmStanding.TIED:
        return "tied"
    return "alone" if row.standing == ArmStanding.SCREENED else ""


def _value(row: ArmRow, spec: MetricSpec) -> SafeString:
    if row.value is None:
        return unknown("no value on its race seeds")
    return mark_safe(spec.text(row.value))  # noqa: S308 - a number


def _params(params: Mapping[str, Any], heads: Sequence[tuple[str, Any, str]]) -> SafeString:
    """Return the cells of the params. `heads` are their names, tints and classes."""
    cells = []
    for name, scale, kind in heads:
        param = params.get(name)
        place = tint(param, scale)
        cells.append(_cell(param, kind if place is None else f"{kind} f{place}"))
    return mark_safe("".join(cells))  # noqa: S308 - each value is escaped


# A page has hundreds of cells, whose values come from a space: few differ. 1 and True do.
@lru_cache(maxsize=4_096, typed=True)
def _cell(param: float | str | None, kind: str) -> str:
    whole = value(param)
    shown = f"{param:.4g}" if isinstance(param, float) and len(whole) > LONGEST_FLOAT else whole
    title = "" if shown == whole else f' title="{escape(whole)}"'
    return f'<td class="{kind}"{title}>{escape(shown)}</td>'


def race_options_context(request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
    """Return which race will come by itself, and what its dialog shows."""
    sources = CAMPAIGN_TRANSITIONS["set_race_options"].sources
    return {
        "may_choose": steering.may_change(request.user, campaign) and campaign.state in sources,
        "race_plan": _race_plan(campaign),
        "fewest_tasks": FEWEST_TASKS,
        "most_race_runs": reserve_of(campaign.task_count) or MAX_RESERVE,
        "most_effect": f"{MAX_MIN_EFFECT:g}",
        # Not localised: the value of an input.
        "min_effect": f"{campaign.min_effect:.12g}",
    }


def _race_plan(campaign: Campaign) -> str:
    """Say which race will come by itself; "" where none can."""
    if campaign.state in ENDED_STATES or not campaign.races_automatically:
        return ""
    if campaign.kept_runs:
        arms = campaign.task_count - campaign.kept_runs
        return (
            f"{arms:,} runs, and {campaign.kept_runs} kept for the race of the best, which begins "
            "by itself when the others have ended."
        )
    if campaign.task_count < FEWEST_TASKS:
        return f"The best race by themselves once there are {FEWEST_TASKS} tasks or more."
    return "The best race by themselves when all have run, and so do arms that are added later."
