"""What a campaign says first when its tasks fail, and why its leaderboard is empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from campaigns.caching import cached_by_revision
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    FailureClass,
    TaskState,
)
from campaigns.standings.progress import CampaignProgress

ENDED: Final = frozenset({CampaignState.COMPLETED, CampaignState.CANCELLED})
# The exit code by which a script says that it refuses its config.
_CONFIG_EXIT_CODE: Final = 2
_LONGEST_MESSAGE: Final = 300


@dataclass(frozen=True)
class Refusals:
    """The failed tasks whose script refused the config, and what it said last."""

    count: int
    message: str


def finding(campaign: Campaign, progress: CampaignProgress) -> str:
    """Return what a person has to know first; "" while there is nothing wrong.

    Either the script refuses the config of half the tasks that ended, or all tasks failed.
    """
    if not progress.failed:
        return ""
    ended = progress.completed + progress.failed
    # A refusal is a script error. Only when those reach half of the tasks, read their attempts.
    script_errors = progress.failure_classes.get(FailureClass.SCRIPT_ERROR, 0)
    if 2 * script_errors >= ended and 2 * (refused := _refusals(campaign)).count >= ended:
        return (
            f"The script refused the config of {refused.count:,} of {ended:,} tasks that ended: "
            f"{refused.message} Trying them again changes nothing: correct the search space in a "
            "clone."
        )
    if campaign.state in ENDED and not progress.completed:
        return f"{_all_failed(progress)}, so this campaign has no result."
    return ""


def why_nothing_is_ranked(campaign: Campaign, progress: CampaignProgress) -> str:
    """Say why the leaderboard has no row, and whether one can still come."""
    if campaign.state not in ENDED:
        failed = f" So far {_tasks(progress.failed)} failed." if progress.failed else ""
        return f"No measured result yet. Rows appear as tasks complete.{failed}"
    if progress.failed and not progress.completed:
        return f"{_all_failed(progress)}, so there is nothing to rank."
    parts = [
        f"{count:,} {what}"
        for count, what in (
            (progress.failed, "failed"),
            (progress.completed - progress.simulated, "ended without a value that counts"),
            (progress.simulated, "were simulated"),
            (progress.cancelled, "were cancelled"),
        )
        if count
    ]
    told = f": of {_tasks(progress.total)}, {', '.join(parts)}" if parts else ""
    return f"The campaign has ended without a result to rank{told}."


def _all_failed(progress: CampaignProgress) -> str:
    failed, cancelled = progress.failed, progress.cancelled
    who = f"All {failed:,} tasks" if failed > 1 else "The only task"
    if cancelled:
        who += " that ran"
    most = next(iter(progress.failure_classes), "")
    return f"{who} failed{f', most by {FailureClass(most).label}' if most else ''}"


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"


def _refusals(campaign: Campaign) -> Refusals:
    return cached_by_revision(campaign, "refused-configs", lambda: _read_refusals(campaign))


def _read_refusals(campaign: Campaign) -> Refusals:
    refused = Attempt.objects.filter(
        task__campaign=campaign,
        task__state=TaskState.FAILED,
        outcome=AttemptOutcome.FAILED,
        failure_class=FailureClass.SCRIPT_ERROR,
        exit_code=_CONFIG_EXIT_CODE,
        submission__final=True,
    )
    count = refused.values("task").distinct().count()
    last = refused.order_by("-pk").values_list("message", flat=True).first() or ""
    message = last.strip()[:_LONGEST_MESSAGE].rstrip(".")
    return Refusals(count, f"“{message}”." if message else "it does not say why.")
