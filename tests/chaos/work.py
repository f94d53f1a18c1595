"""Creates work for agents: workers with tokens, and campaigns with a small data set and script.

Needs Django set up; writes to the default database.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.db import transaction

from campaigns import lifecycle
from campaigns.clock import database_now
from campaigns.datasets import store_dataset
from campaigns.lifecycle import CampaignSpec
from campaigns.models import Campaign, Package
from workers import lifecycle as worker_lifecycle

SCRIPT = Path(__file__).with_name("script.py")
# A space that the catalog's script would accept, with a single point.
SPACE = {"parameters": [{"name": "lr", "type": "choice", "values": [0.001]}], "constraints": []}
TEXT = b"All happy families are alike; each unhappy family is unhappy in its own way.\n" * 100


def make_workers(prefix: str, count: int) -> list[tuple[str, str]]:
    """Enrol `count` workers; return the name and token of each."""
    names = [f"{prefix}-{number}" for number in range(count)]
    now = database_now()
    return [(name, worker_lifecycle.register(name, now=now)[1]) for name in names]


def make_campaign(
    tasks: int, name: str = "work", *, params: dict[str, Any] | None = None, **fields: Any
) -> Campaign:
    """Launch a campaign of the stand-in script whose tasks all have `params`.

    Its tasks may be lost 100 times, because these tests cause losses.
    """
    now = database_now()
    spec: dict[str, Any] = {
        "time_budget_seconds": 10.0,
        "allow_simulated": True,
        "max_lost_attempts": 100,
        "search_space": SPACE,
    }
    campaign = lifecycle.create_campaign(
        CampaignSpec(
            name=name,
            experiment="train_char_lm",
            task_count=tasks,
            dataset=store_dataset("families", TEXT).sha256,
            **(spec | fields),
        ),
        owner=None,
        now=now,
    )
    source = SCRIPT.read_bytes()
    campaign.package, _ = Package.objects.get_or_create(
        sha256=hashlib.sha256(source).hexdigest(),
        defaults={"name": campaign.experiment, "source": source, "created_at": now},
    )
    campaign.save(update_fields=["package"])
    # A launch refuses parameters that the catalog's script does not know, so set those of the
    # stand-in script afterwards, before any agent can see the tasks.
    with transaction.atomic():
        lifecycle.launch(campaign, now=now)
        chosen = {"behaviour": "good", **(params or {})}
        campaign.arms.update(params=chosen)
        campaign.tasks.update(params=chosen)
    return campaign
