"""Random histories of the lifecycle, compared with a model that knows who may decide each task.

``XEENET_TEST_HISTORIES=1000`` runs 1,000 histories instead of the 20 of a normal run and shrinks
a failing history (add ``--timeout=0``: that takes minutes).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from campaigns.fleet.budgets import MAX_WORK_SECONDS
from campaigns.models import Attempt, Campaign, Result
from campaigns.standings.honesty import read_tally
from tests import factories, invariants
from tests.lifecycle.histories.model import Verbs
from tests.lifecycle.histories.model_asking import ASK_TIMEOUT
from tests.lifecycle.histories.model_rows import ModelLease

pytestmark = pytest.mark.django_db

REQUESTED = os.environ.get("XEENET_TEST_HISTORIES", "")
HISTORIES = int(REQUESTED or 20)
PHASES = [Phase.generate, Phase.shrink] if REQUESTED else [Phase.generate]


class Histories(Verbs):
    """What must hold after every step."""

    @invariant()
    def leases_results_answers_and_journal_agree(self) -> None:
        acknowledged = {
            lease.attempt.lease_id: lease.answer.verdict for lease in self.sent if lease.answer
        }
        invariants.check(acknowledged=acknowledged)

    @invariant()
    def the_campaign_is_where_the_model_says(self) -> None:
        campaign = Campaign.objects.get(pk=self.campaign.pk)
        asked_at = None if self.asked is None else factories.at(self.asked)
        assert (campaign.state, campaign.asked_at) == (self.state, asked_at)

    @invariant()
    def every_task_is_where_the_model_says_with_its_counters(self) -> None:
        for task in self.campaign.tasks.all():
            model = self.tasks[task.pk]
            held = model.holder.attempt.lease_id if model.holder else None
            assert (task.state, task.lease_id) == (model.state, held)
            assert (task.lost_attempts, task.failed_attempts) == (model.lost, model.failed)
            if model.holder:
                assert task.lease_expires_at == factories.at(model.holder.expires)
                assert task.lease_expires_at <= factories.at(model.holder.deadline)

    @invariant()
    def every_task_has_one_fate_and_the_parts_add_up(self) -> None:
        campaign = Campaign.objects.get(pk=self.campaign.pk)
        tally = read_tally(campaign)
        states = Counter(task.state for task in self.tasks.values())
        fates: Counter[str] = Counter({str(fate): n for fate, n in tally.fates.items()})
        assert tally.open == states["pending"] + states["leased"]
        assert tally.ended == states["completed"] + states["failed"] + states["cancelled"]
        assert tally.ended == tally.counted + sum(tally.not_counted.values())
        assert fates["cancelled"] == states["cancelled"]
        failed = sum(fates[fate] for fate in ("lost", "too-slow", "machine", "failed"))
        assert failed == sum(tally.failures.values()) == states["failed"]
        ranked = Result.objects.filter(campaign=campaign, is_ranked=True).count()
        elsewhere = ("replay", "outside-seed", "evaluation", "other-class")
        assert tally.counted + sum(fates[fate] for fate in elsewhere) == ranked

    @invariant()
    def every_attempt_ended_as_the_model_says_and_its_report_is_kept(self) -> None:
        attempts = Attempt.objects.filter(task__campaign=self.campaign)
        stored = {attempt.pk: attempt for attempt in attempts}
        assert len(stored) == len(self.leases)
        for lease in self.leases:
            attempt = stored[lease.attempt.pk]
            assert attempt.outcome == lease.outcome
            if lease.sent is not None:
                assert attempt.submission is not None
                assert attempt.submission["outcome"] == lease.sent["outcome"]

    @invariant()
    def each_completed_task_has_the_result_of_its_winner_and_no_other_is_ranked(self) -> None:
        results = Result.objects.filter(campaign=self.campaign, is_ranked=True)
        ranked = {
            task_id: (attempt_id, value)
            for task_id, attempt_id, value in results.values_list("task_id", "attempt_id", "value")
        }
        assert ranked == {
            pk: (task.winner.attempt.pk, _value(task.winner))
            for pk, task in self.tasks.items()
            if task.winner is not None
        }


class WorkHistories(Histories):
    """The same under a work budget, with workers that are too slow."""

    budget: ClassVar = {"budget_kind": "work", "work_unit": "steps", "work_amount": 100}
    longest = MAX_WORK_SECONDS
    failure_classes = ("too_slow", "script_error", "lost", "env_error")

    @invariant()
    def the_arms_given_up_are_those_of_the_model(self) -> None:
        given_up = self.campaign.arms.exclude(infeasible="")
        assert set(given_up.values_list("pk", flat=True)) == self.infeasible


def _value(lease: ModelLease) -> Any:
    assert lease.sent is not None
    return (lease.sent["metrics"] or {})["val_bpb"]


@pytest.mark.timeout(400)  # 10 s of computing, which a busy machine spreads over minutes
@pytest.mark.parametrize("histories", [Histories, WorkHistories])
def test_no_history_breaks_what_must_hold(histories: type[Histories], settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"ASK_TIMEOUT_SECONDS": ASK_TIMEOUT}
    run_state_machine_as_test(
        histories,
        settings=hypothesis_settings(
            max_examples=HISTORIES,
            stateful_step_count=30,
            deadline=None,
            phases=PHASES,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
