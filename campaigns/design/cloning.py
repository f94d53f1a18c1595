"""Copy the description of a campaign."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from campaigns.lifecycle import CampaignSpec
from campaigns.lifecycle.race_due import races_by_default
from campaigns.models import BudgetKind, Campaign

MAX_NAME_LENGTH: Final = 200
_COPY: Final = " (copy)"


def spec_of(campaign: Campaign, **changes: Any) -> CampaignSpec:
    """Return the description that makes this campaign again, with some fields changed.

    Data set and uploaded script are named by their hash, so they stay the same. A script of the
    catalog is taken as it is today. Giving a time makes a work budget a time budget, and giving
    work the other way round.
    """
    copied = {
        field.name: getattr(campaign, field.name)
        for field in fields(CampaignSpec)
        if hasattr(campaign, field.name)
    }
    usual = races_by_default(campaign.task_count, allow_simulated=campaign.allow_simulated)
    if not campaign.shares_seeds or campaign.races_automatically == usual:
        # The clone may have another number of tasks: only what a person chose is copied.
        copied["races_automatically"] = None
    name = f"{campaign.name[: MAX_NAME_LENGTH - len(_COPY)]}{_COPY}"
    pinned = {
        "dataset": campaign.dataset_id,
        "script": campaign.package_id if campaign.package.is_uploaded else "",
    }
    return CampaignSpec(**copied | _budget(campaign, changes) | pinned | {"name": name} | changes)


def _budget(campaign: Campaign, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the budget: those of one kind, the others are empty."""
    kind = changes.get("budget_kind")
    if kind is None and changes.get("work_amount") is not None:
        kind = BudgetKind.WORK
    elif kind is None and changes.get("time_budget_seconds") is not None:
        kind = BudgetKind.TIME
    elif kind is None:
        kind = campaign.budget_kind
    if kind == BudgetKind.WORK:
        # Its time is derived from the work.
        return {"budget_kind": kind, "time_budget_seconds": None}
    fields: dict[str, Any] = {"budget_kind": kind, "work_unit": "", "work_amount": None}
    return fields if campaign.budget_kind == kind else fields | {"time_budget_seconds": None}
