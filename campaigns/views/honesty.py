"""The tab that says how far a campaign's values can be believed, and what was not counted."""

from __future__ import annotations

from typing import Any, Final

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from campaigns.charts.honesty import pairs_picture, slope_picture
from campaigns.models import Campaign, FailureClass, Result, Task
from campaigns.standings import honesty as reads
from campaigns.standings import honesty_parts as parts
from campaigns.standings.honesty import FATES, LISTS, LOADS, UNKNOWN_LOAD, Tally
from campaigns.views.head import campaign_and_now, head_context
from campaigns.views.tabs import show_tab
from xeenet_site.web.pages import reading_page

ROWS_PER_PAGE: Final = 50


@reading_page
def honesty(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what bears on a campaign's values; with ?rows= also the runs of one reason."""
    campaign, now = campaign_and_now(pk)
    tally = reads.tally(campaign)
    name = request.GET.get("rows", "")
    noises = parts.class_noises(campaign)
    first = parts.first_seeds(campaign, noises[0].sd if noises else None)
    workers, other_workers = parts.workers_of(campaign)
    spec = campaign.metric_spec
    hindered = parts.disturbed_runs(campaign) if tally.disturbed or tally.slow_setups else []
    context = head_context(request, campaign, now) | {
        "tally": tally,
        "reasons": [
            (str(fate), number, *FATES[fate]) for fate, number in tally.not_counted.items()
        ],
        "failures": [(FailureClass(name).label, number) for name, number in tally.failures.items()],
        "noises": [(noise, _gaps(noise, campaign), _pairs(noise, campaign)) for noise in noises],
        "seed_counts": parts.SEED_COUNTS,
        "first": first,
        "kinder": None if first.kinder is None else spec.with_unit(abs(first.kinder)),
        "chance": None if first.chance is None else spec.text(first.chance),
        "slopes": slope_picture(first, spec) if first.pairs else "",
        "loads": _loads(tally),
        "disturbed": [_linked(campaign, run) for run in hindered],
        "slow": parts.slow_arms(campaign),
        "workers": workers,
        "other_workers": other_workers,
        "spec": spec,
        "tab_styles": "xeenet/race.css",
    }
    if name in LISTS:
        context |= _rows(request, campaign, tally, name)
    return show_tab(request, "Honesty", "campaigns/_honesty.html", context)


def _gaps(noise: parts.ClassNoise, campaign: Campaign) -> list[str]:
    """Write the differences that so many seeds make visible; as many empty texts while unknown."""
    spec = campaign.metric_spec
    return [spec.text(gap) for gap in noise.gaps] or [""] * len(parts.SEED_COUNTS)


def _pairs(noise: parts.ClassNoise, campaign: Campaign) -> str:
    return pairs_picture(noise, campaign.metric_spec) if noise.sizes else ""


def _loads(tally: Tally) -> list[dict[str, Any]]:
    """Return how many measured runs had so much foreign load, with bars in percent of the most."""
    most = max(tally.loads.values(), default=0)
    rows = []
    for place, least in enumerate(LOADS):
        last = place + 1 == len(LOADS)
        label = f"{least:g} or more" if last else f"{least:g} to {LOADS[place + 1]:g}"
        rows.append((label, tally.loads.get(f"{least:g}", 0), False))
    rows.append(("not told", tally.loads.get(UNKNOWN_LOAD, 0), True))
    return [
        {
            "label": label,
            "number": number,
            "width": f"{100 * number / most:.1f}" if most else "0",
            "is_unknown": is_unknown,
        }
        for label, number, is_unknown in rows
    ]


def _linked(campaign: Campaign, run: parts.DisturbedRun) -> tuple[parts.DisturbedRun, str, str]:
    """Return a disturbed run with the addresses of its task and of the other run of its seed."""
    other = "" if run.other is None else _url(campaign, run.other)
    return run, _url(campaign, run.number), other


def _url(campaign: Campaign, number: int) -> str:
    return reverse("task", args=[campaign.pk, number])


def _rows(request: HttpRequest, campaign: Campaign, tally: Tally, name: str) -> dict[str, Any]:
    """Return the page of runs of one reason that the address selects."""
    paginator: Paginator[Task] = Paginator((), ROWS_PER_PAGE)
    paginator.count = reads.list_length(tally, name)
    page = paginator.get_page(request.GET.get("page"))
    offset = (page.number - 1) * ROWS_PER_PAGE
    rows = []
    for task in reads.listed(campaign, name, limit=ROWS_PER_PAGE, offset=offset):
        result: Result | None = getattr(task, "result", None)
        rows.append((task, result))
    title, why = reads.list_title(name)
    return {"list": name, "list_title": title, "list_why": why, "list_rows": rows, "page": page}
