"""What may be claimed of compared tasks or campaigns, and the race that would tell more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from campaigns.analysis.comparison import CampaignColumn, TaskColumn, common_spec
from campaigns.models import Campaign, Race, Task
from campaigns.race.compared import NOT_ONE_CLASS, SAME_ARM, compare, compared_verdict
from campaigns.race.rows import NO_FLOOR, Floor
from campaigns.standings.classes import share_a_class
from campaigns.standings.race_runs import runs_on_seeds

# A campaign has few races; of more, the latest are searched.
_RACES_READ: Final = 100


@dataclass(frozen=True)
class RaceOffer:
    """A race that would tell the compared arms apart."""

    campaign: Campaign
    arms: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """A few sentences, "" when there is nothing to compare, and the race that is needed."""

    sentence: str
    race: RaceOffer | None = None


NO_VERDICT: Final = Verdict("")


def verdict(columns: Sequence[TaskColumn] | Sequence[CampaignColumn]) -> Verdict:
    """Return what may be claimed of the arms of these columns; at most two queries.

    The arms are those of the tasks, or the first on the boards of the campaigns. Columns without a
    value are left out.
    """
    valued: list[TaskColumn | CampaignColumn] = [
        column for column in columns if column.best is not None and column.arm_task
    ]
    if len(valued) < 2 or common_spec(valued) is None:
        return NO_VERDICT
    tasks = [column.arm_task for column in valued if column.arm_task]
    arms = [task.arm_id for task in tasks]
    if len(set(arms)) < len(arms):
        return Verdict(SAME_ARM if len(set(arms)) == 1 else _same_arms(valued, arms))
    if not share_a_class(task.result for task in tasks if hasattr(task, "result")):
        return Verdict(NOT_ONE_CLASS)
    compared = compare(arms, runs_on_seeds(arms), _floor_before(tasks))
    letters = {task.arm_id: column.letter for task, column in zip(tasks, valued, strict=True)}
    spec = valued[0].spec
    sentence = compared_verdict(
        compared,
        names=lambda arm: letters[arm],
        shown=lambda distance: spec.with_unit(abs(distance)),
    )
    if compared.decision is not None:
        return Verdict(sentence)
    return _with_what_is_needed(sentence, tasks)


def _same_arms(columns: Sequence[TaskColumn | CampaignColumn], arms: list[int]) -> str:
    twice = next(arm for arm in arms if arms.count(arm) > 1)
    same = [column.letter for column, arm in zip(columns, arms, strict=True) if arm == twice]
    return f"{' and '.join(same)} are runs of one arm: leave all but one of them out to compare."


def _with_what_is_needed(sentence: str, tasks: Sequence[Task]) -> Verdict:
    campaigns = {task.campaign_id: task.campaign for task in tasks}
    if len(campaigns) == 1:
        campaign = tasks[0].campaign
        if not campaign.shares_seeds:
            return Verdict(f"{sentence} This campaign is from before shared seeds: clone it.")
        offer = RaceOffer(campaign, tuple(sorted(task.arm.number for task in tasks)))
        return Verdict(f"{sentence} Let them race.", offer)
    seeds = sorted({campaign.base_seed for campaign in campaigns.values()})
    if len(seeds) == 1:
        return Verdict(
            f"{sentence} These campaigns have the same base seed, so let each arm race in its "
            "campaign, from the same seed on."
        )
    return Verdict(
        f"{sentence} Campaigns share seeds when they have the same base seed; these have "
        f"{', '.join(map(str, seeds))}."
    )


def _floor_before(tasks: Sequence[Task]) -> Floor:
    """Return the noise floor as it stood before the arms raced each other, if they did.

    A later one would hold the very runs that are compared.
    """
    numbers = {task.arm.number for task in tasks}
    if len({task.campaign_id for task in tasks}) > 1:
        return NO_FLOOR
    races = Race.objects.filter(campaign=tasks[0].campaign_id).order_by("-number")
    for arms, sd, pairs in races.values_list("arms", "floor_sd", "floor_pairs")[:_RACES_READ]:
        if numbers <= set(arms):
            return Floor(sd, pairs)
    return NO_FLOOR
