"""A campaign in each state that its page draws, made through the real verbs."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any, Final

from django.contrib.auth.models import User

from campaigns import lifecycle
from campaigns.models import Campaign, Task
from tests import factories
from workers.models import Worker
from workers.protocol import FailureClass

SPACE: Final[dict[str, Any]] = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-3, "high": 2e-2, "log": True, "decimals": 5},
        {"name": "d_model", "type": "choice", "values": [64, 128, 256]},
        {"name": "n_layers", "type": "int", "low": 1, "high": 6},
        {"name": "batch", "type": "choice", "values": [16, 32, 64, 128]},
        {"name": "schedule", "type": "choice", "values": ["constant", "cosine", "linear"]},
        {"name": "n_heads", "type": "choice", "values": [4]},
    ],
    "constraints": [],
}
LONG_NAMES: Final = {
    "60 characters": "Which learning rate and width for the small model, equal work",
    "one word": "learningrate" * 6,
    "CJK": "小さな文字モデルの学習率と幅をどう選ぶか" * 3,
    "right to left": "איזה קצב למידה ורוחב למודל התווים הקטן בעבודה שווה לכולם ובלי מזל",
}


class Stage:
    """The people, the machines and the time of a state; `now` moves on with each run."""

    def __init__(self, now: dt.datetime, *, owner: User | None = None) -> None:
        self.now = now
        self.owner = owner or factories.user()
        self._workers: dict[str, Worker] = {}
        self._rng = random.Random(7)

    def worker(self, name: str = "desk-1", **fields: Any) -> Worker:
        """Return the machine with this name, online."""
        known = Worker.objects.filter(name=name).first() or factories.worker(name, **fields)
        known.last_seen_at = self.now
        known.save(update_fields=["last_seen_at"])
        return known

    def campaign(self, arms: int, **fields: Any) -> Campaign:
        """Return a campaign that runs, of this many arms."""
        usual = {"owner": self.owner, "search_space": SPACE, "max_failed_attempts": 1}
        return factories.active_campaign(arms, now=self.now, **(usual | fields))

    def value(self, task: Task) -> float:
        """Return the loss of a task: a valley in lr, width helps, and seeds scatter by 0.015."""
        params = task.params
        lr, width = params.get("lr", 0.004), params.get("d_model", 128)
        loss = 2.45 + 40 * abs(lr - 0.0043) + (256 - width) / 1500
        loss += 0.01 * params.get("n_layers", 2) + 0.02 * (params.get("batch", 32) == 128)
        return float(loss + self._rng.gauss(0, 0.015))

    def run(
        self,
        campaign: Campaign,
        count: int,
        value: Callable[[Task], float | None] | None = None,
        *,
        by: Worker | None = None,
        **changes: Any,
    ) -> None:
        """Let a machine run the next tasks; a value of None is a run out of memory."""
        machine = by or self.worker()
        for _ in range(count):
            self.now += dt.timedelta(seconds=9)
            attempt = factories.claim_one(machine, now=self.now)
            result = (value or self.value)(attempt.task)
            if result is None:
                factories.fail(attempt, FailureClass.OOM, now=self.now)
            else:
                factories.finish(attempt, result, now=self.now, **changes)
        campaign.refresh_from_db()
        self.worker(machine.name)

    def run_rest(self, campaign: Campaign, **changes: Any) -> None:
        """Let the machine run all that waits, looks of races included."""
        while count := campaign.tasks.filter(state="pending").count():
            self.run(campaign, count, **changes)


def draft(stage: Stage) -> Campaign:
    return factories.campaign(
        owner=stage.owner, now=stage.now, search_space=SPACE, task_count=40, name="A draft"
    )


def no_result(stage: Stage) -> Campaign:
    campaign = stage.campaign(20, name="No result yet")
    factories.claim_one(stage.worker("busy-1"), now=stage.now)
    return campaign


def one_seed_each(stage: Stage) -> Campaign:
    campaign = stage.campaign(40, name="One seed each")
    stage.run(campaign, 38)
    return campaign


def racing(stage: Stage) -> Campaign:
    campaign = stage.campaign(24, name="A race that runs")
    stage.run(campaign, 24)
    lifecycle.start_race(campaign, _first(campaign, 5), seeds=12, now=stage.now)
    # The first look is short of two runs.
    stage.run(campaign, 13, lambda task: 2.46 + task.arm.number / 1000 + task.seed_index / 100)
    return campaign


def champion(stage: Stage) -> Campaign:
    campaign = stage.campaign(30, name="Learning rate and width, equal work")
    stage.run(campaign, 24)
    stage.run(campaign, 3, lambda task: None)
    stage.run(campaign, 3)
    lifecycle.start_race(campaign, _first(campaign, 6), seeds=12, now=stage.now)
    first = _first(campaign, 1)[0]
    stage.run_rest(
        campaign, value=lambda task: stage.value(task) - 0.06 * (task.arm.number == first)
    )
    return campaign


def tie(stage: Stage) -> Campaign:
    campaign = stage.campaign(20, name="A tie")
    stage.run(campaign, 20)
    lifecycle.start_race(campaign, _first(campaign, 4), seeds=6, now=stage.now)
    rng = random.Random(3)
    stage.run_rest(campaign, value=lambda task: 2.46 + rng.gauss(0, 0.02))
    return campaign


def mixed_classes(stage: Stage) -> Campaign:
    campaign = stage.campaign(30, name="Unlike machines")
    stage.run(campaign, 15)
    stage.run(campaign, 8, by=stage.worker("attic-gpu"), device_used="cuda")
    return campaign


def nothing_can_run(stage: Stage) -> Campaign:
    campaign = stage.campaign(30, name="No machine is left")
    stage.run(campaign, 12)
    long_ago = stage.now - dt.timedelta(hours=3)
    Worker.objects.update(last_seen_at=long_ago)
    return campaign


def all_failed(stage: Stage) -> Campaign:
    campaign = stage.campaign(6, name="All failed")
    stage.run(campaign, 6, lambda task: None)
    return campaign


def simulated_only(stage: Stage) -> Campaign:
    campaign = stage.campaign(6, name="Only invented values", allow_simulated=True)
    machine = stage.worker("no-torch", simulates=True)
    for number in range(4):
        attempt = factories.claim_one(machine, now=stage.now)
        body = factories.completed(attempt.task, 1.2 + number)
        body["simulated"] = True
        lifecycle.submit(machine, attempt.lease_id, body, now=stage.now)
    campaign.refresh_from_db()
    return campaign


def thirty_params(stage: Stage) -> Campaign:
    more = [
        {"name": f"very_long_option_{n:02}", "type": "float", "low": 0.0, "high": 1.0}
        for n in range(30 - len(SPACE["parameters"]))
    ]
    space = SPACE | {"parameters": SPACE["parameters"] + more}
    campaign = stage.campaign(14, name="Thirty parameters", search_space=space)
    stage.run(campaign, 12)
    return campaign


def one_param(stage: Stage) -> Campaign:
    space = SPACE | {"parameters": SPACE["parameters"][:1]}
    campaign = stage.campaign(14, name="One parameter", search_space=space)
    stage.run(campaign, 12)
    return campaign


def paused(stage: Stage) -> Campaign:
    campaign = stage.campaign(20, name="Paused by the breaker")
    stage.run(campaign, 12)
    lifecycle.pause(campaign, now=stage.now, reason="10 of the last 20 attempts failed.")
    return campaign


def cancelled(stage: Stage) -> Campaign:
    campaign = stage.campaign(20, name="Cancelled")
    stage.run(campaign, 12)
    lifecycle.cancel(campaign, now=stage.now, reason="The question has changed.")
    return campaign


def waits_for_approval(stage: Stage) -> Campaign:
    stage.worker()
    script = factories.uploaded(now=stage.now, actor=stage.owner)
    return stage.campaign(10, name="A script of our own", script=script.sha256)


def _named(name: str) -> Callable[[Stage], Campaign]:
    def state(stage: Stage) -> Campaign:
        campaign = stage.campaign(24, name=name)
        stage.run(campaign, 20)
        return campaign

    return state


def _first(campaign: Campaign, count: int) -> list[int]:
    """Return the arms with the lowest first values."""
    results = campaign.results.ranked().filter(is_screening=True)
    return list(results.values_list("arm__number", flat=True)[:count])


STATES: Final[dict[str, Callable[[Stage], Campaign]]] = {
    "draft": draft,
    "no result": no_result,
    "one seed each": one_seed_each,
    "racing": racing,
    "champion": champion,
    "tie": tie,
    "mixed classes": mixed_classes,
    "nothing can run": nothing_can_run,
    "all failed": all_failed,
    "simulated only": simulated_only,
    "thirty params": thirty_params,
    "one param": one_param,
    "paused": paused,
    "cancelled": cancelled,
    "waits for approval": waits_for_approval,
    **{f"name: {what}": _named(name) for what, name in LONG_NAMES.items()},
}
