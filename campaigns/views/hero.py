"""The hero chart on a campaign's page, what it appends, and the card of the task pointed at."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render

from campaigns.analysis.curves import load_progress
from campaigns.charts.hero import hero, hero_label, hero_points
from campaigns.charts.hero_curve import small_curve
from campaigns.models import Campaign, Task
from campaigns.standings.leaderboard import varying_params
from campaigns.standings.usual_params import unusual
from xeenet_site.web.pages import reading_page
from xeenet_site.web.strict_json import figure_script, finite

# More points than pixels would not show.
CURVE_POINTS: Final = 100


def hero_context(campaign: Campaign, *, of_class: str = "") -> dict[str, Any]:
    """Return what the templates of the chart and of its tables need."""
    drawn = hero(campaign, of_class=of_class)
    label = hero_label(campaign, of_class=of_class) if drawn.markup else None
    return {
        "hero": drawn,
        "hero_label": figure_script(label, "hero-label") if label else "",
        "hero_extreme": next((row for row in drawn.records), None),
    }


def new_points(campaign: Campaign, after: int, *, of_class: str = "") -> dict[str, Any] | None:
    """Return what ended after the task of that order, for the chart to append; None for nothing."""
    news = hero_points(campaign, after=after, of_class=of_class)
    return finite(news) if news["points"] else None


@reading_page
def hero_json(request: HttpRequest, pk: int) -> HttpResponse:
    """Send the chart's data, or with ?after= only what ended after the task of that order."""
    campaign = get_object_or_404(Campaign, pk=pk)
    of_class = request.GET.get("class", "")
    after = request.GET.get("after", "")
    if not after.isdecimal() or len(after) > len("2147483647"):
        data = hero(campaign, of_class=of_class).json
        return HttpResponse(data or "null", content_type="application/json")
    return JsonResponse(finite(hero_points(campaign, after=int(after), of_class=of_class)))


@reading_page
def card(request: HttpRequest, campaign: int, number: int) -> HttpResponse:
    """Show params, curve and circumstances of one task, for the card beside its point."""
    tasks = Task.objects.select_related("campaign", "arm", "result__attempt__worker")
    task = get_object_or_404(tasks, campaign=campaign, number=number)
    result = getattr(task, "result", None)
    attempt = result.attempt if result else task.attempts.order_by("-number").first()
    if attempt is not None:
        load_progress([attempt], limit=CURVE_POINTS)
    varying, _ = varying_params(task.campaign)
    unlike = unusual(task.campaign, task.params, varying)
    context = {
        "task": task,
        "result": result,
        "attempt": attempt,
        "params": [(name, task.params.get(name), name in unlike) for name in varying],
        "curve": small_curve(attempt.progress.all()) if attempt else None,
        "spec": task.campaign.metric_spec,
    }
    return render(request, "campaigns/_hero_card.html", context)
