"""The verdict on a campaign and its four figures, as its page shows them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from campaigns.models import Campaign
from campaigns.race.headline import Act, Headline
from campaigns.race.words import Belief, belief, figure_title
from campaigns.standings import arms, headline
from campaigns.standings.progress import CampaignProgress
from campaigns.standings.rows import Standing
from campaigns.standings.summaries import progress_bar
from campaigns.standings.usual_params import unusual
from campaigns.views.head import may_race
from xeenet_site.web.formats import value


@dataclass(frozen=True)
class Button:
    """What stands beside the verdict: a link, or a form that lets arms race."""

    label: str
    url: str
    id: str = "verdict-action"
    # Where the verdict lets arms race: their numbers.
    race: tuple[int, ...] = ()


@dataclass(frozen=True)
class Count:
    """One count of what went wrong; `url` leads to its runs."""

    id: str
    number: int
    word: str
    url: str
    tone: str
    why: str


def verdict_context(
    request: HttpRequest, campaign: Campaign, progress: CampaignProgress, now: dt.datetime
) -> dict[str, Any]:
    """Return the verdict with its button, and what may be claimed where it says something else."""
    slug = request.GET.get("class", "")
    offer = (
        headline.race_offer(campaign, progress, now=now)
        if may_race(request.user, campaign)
        else None
    )
    verdict = headline.verdict(campaign, progress, now=now, of_class=slug, race=offer)
    claim, last = arms.sentence(campaign), arms.finding(campaign)
    button = _button(campaign, verdict, offer, slug)
    return {
        "verdict": verdict,
        "button": button,
        # Where something else had to be said first.
        "claim": "" if claim in verdict.sentence else claim,
        "offer": offer if offer and not (button and button.race) else None,
        "race_runs": last is not None and not last.outcome,
        "race_seeds": offer.seeds if offer else None,
    }


def _button(
    campaign: Campaign, verdict: Headline, offer: headline.RaceOffer | None, of_class: str
) -> Button | None:
    """Return the button of the verdict's action; None without any."""
    action = verdict.action
    if action is None:
        return None
    if action.act == Act.RACE:
        url = reverse("campaign-race", args=[campaign.pk])
        return Button(action.label, url, race=tuple(offer.arms) if offer else ())
    if action.act == Act.SHOW_CLASS:
        other = headline.shown_first(campaign, of_class)[action.place]
        return Button(action.label, f"{campaign.get_absolute_url()}?class={other.slug}")
    runs = reverse("campaign-runs", args=[campaign.pk])
    url, button_id = {
        Act.SEE_WORKERS: (reverse("workers"), "verdict-workers"),
        Act.SEE_SCRIPT: (campaign.package.get_absolute_url(), "verdict-script"),
        Act.SEE_FAILURES: (_tasks(campaign, "failed"), "finding-failures"),
        Act.SEE_NO_VALUE: (f"{runs}?state=all&sort=-value", "verdict-no-value"),
    }[action.act]
    return Button(action.label, url, button_id)


def _tasks(campaign: Campaign, state: str) -> str:
    return f"{reverse('campaign-tasks', args=[campaign.pk])}?state={state}"


def figures_context(
    campaign: Campaign,
    progress: CampaignProgress,
    by_state: dict[str, int],
    varying: list[str],
) -> dict[str, Any]:
    """Return the four figures: the first arm, how far to believe it, progress, trouble."""
    row, spec = arms.first(campaign), campaign.metric_spec
    first_params = (
        [(name, _short(row.params.get(name))) for name in unusual(campaign, row.params, varying)]
        if row
        else []
    )
    return {
        "progress": progress,
        "bar": progress_bar(by_state, progress.total, without_value=progress.without_value),
        "first_arm": row,
        "first_title": figure_title(
            row.standing if row else "", metric=spec.name, lowest=spec.best
        ),
        "first_width": spec.text(row.half_width) if row and row.half_width is not None else "",
        "first_seeds": max(1, row.seeds) if row else 0,
        "first_params": first_params,
        "belief": _belief(campaign),
        "troubles": _troubles(campaign, progress),
        "top_failure": next(iter(progress.failure_classes.items()), None),
        "shared": headline.shared_words(campaign, progress) if progress.failed > 1 else "",
    }


def _short(param: Any) -> str:
    """Write a param with at most four digits of a fraction."""
    return f"{param:.4g}" if isinstance(param, float) else value(param)


def _belief(campaign: Campaign) -> Belief:
    spec = campaign.metric_spec
    last = arms.finding(campaign)
    if last is None and arms.first(campaign) is None:
        return Belief("", "")
    return belief(last, shown=lambda distance: spec.text(abs(distance)))


def _troubles(campaign: Campaign, progress: CampaignProgress) -> list[Count]:
    """Return what went wrong, what has no value and what does not count, without zeros."""
    runs = reverse("campaign-runs", args=[campaign.pk])
    counts = [
        Count(
            "failed-tasks",
            progress.failed,
            "failed",
            _tasks(campaign, "failed"),
            "danger-text",
            "Tasks that failed for good",
        ),
        Count(
            "without-value",
            progress.without_value,
            "no value",
            f"{runs}?state=all&sort=-value",
            "late-text",
            "The loss diverged, or the budget was too small to train and evaluate",
        ),
        Count(
            "implausible",
            progress.implausible,
            "implausible",
            f"{runs}?state={Standing.IMPLAUSIBLE}",
            "late-text",
            "Far beyond what models reach on this data set: not counted until an operator admits "
            "them",
        ),
        Count(
            "simulated-runs",
            progress.simulated,
            "simulated",
            f"{runs}?state={Standing.SIMULATED}",
            "simulated-text",
            "Invented by workers without torch: on no board and in no statistic",
        ),
    ]
    return [count for count in counts if count.number]
