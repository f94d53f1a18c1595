"""Which share of the workers campaigns have, and whose turn it is."""

from __future__ import annotations

from collections.abc import Mapping

from campaigns.models import Campaign, CampaignState, Share
from campaigns.sharing.standing import Standing, standings
from campaigns.standings.queue import queue_of
from xeenet_site.web.formats import count, percent


def share_of(campaign: Campaign) -> Share:
    """Return the campaign's row, or one with the defaults, unsaved, if it has none."""
    return Share.objects.filter(pk=campaign.pk).first() or Share(campaign=campaign)


def turns_now() -> Mapping[int, Standing]:
    """Return where the active campaigns with waiting tasks stand, in the order of their turns.

    By the rows: what a process has handed out and not written yet is not in it. One query.
    """
    queue = queue_of([])
    stopped = {campaign.pk for campaign in queue.others if not campaign.package.may_run}
    return standings(
        claimant
        for campaign, claimant in queue.claimants.items()
        if campaign in queue.pending and campaign not in stopped
    )


def turn_words(standing: Standing) -> str:
    """Return "2nd of 5"; of a campaign behind others of its owner, that it waits."""
    if standing.turn is None:
        return "behind the owner’s first"
    return f"{_ordinal(standing.turn)} of {count(standing.of)}"


def share_sentence(campaign: Campaign, standing: Standing | None) -> str:
    """Say when the campaign has its turn, and how much of the workers' time it gets."""
    if campaign.state != CampaignState.ACTIVE:
        return f"It hands out nothing: it is {campaign.state}."
    if standing is None:
        return "Nothing of it waits to be handed out."
    if standing.turn is None:
        return "Its turns go to another campaign that its owner put first."
    if standing.of == 1:
        return "No other campaign waits: every worker that may run it takes its tasks."
    return (
        f"Its turn is the {turn_words(standing)}; it gets {percent(standing.share)} of the time of "
        "workers that may run them all."
    )


def _ordinal(number: int) -> str:
    teen = 10 <= number % 100 <= 20
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{count(number)}{ending}"
