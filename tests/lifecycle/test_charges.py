"""What claims charge is folded into the accounts: by several threads, and as a process ends."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.db import connection

from campaigns.lifecycle import charges
from campaigns.lifecycle.charges import CHARGES, Charges
from campaigns.models import Campaign, Share
from tests.concurrency import in_parallel
from tests.factories import active_campaign, at, claim, worker

pytestmark = pytest.mark.django_db(transaction=True)

# A process of its own that claims two tasks of 10 s, and ends as its argument says.
CLAIMS = """
import os, sys, uuid
import django
django.setup()
from campaigns import lifecycle
from campaigns.clock import database_now
from campaigns.lifecycle import charges
from workers.models import Worker
charges.FOLDED_EVERY_SECONDS = float("inf")
for holder in Worker.objects.all():
    attempts = lifecycle.claim(holder, claim_id=uuid.uuid4(), count=1, now=database_now()).attempts
    print(len(attempts), flush=True)
if sys.argv[1] == "killed":
    os._exit(1)
"""


def account(of: Campaign) -> float:
    return Share.objects.get(pk=of.pk).account


def test_no_charge_of_many_threads_is_lost_or_counted_twice() -> None:
    campaigns = [active_campaign(1) for _ in range(3)]
    own = Charges()

    def charge() -> None:
        for _ in range(20):
            own.add({each.pk: 1.0 for each in campaigns})
            own.fold()

    in_parallel([charge] * 4)
    own.fold()
    assert [account(each) for each in campaigns] == [80.0] * 3
    assert own.outstanding() == {}


def test_two_processes_that_fold_the_same_campaigns_do_not_wait_for_each_other_for_ever() -> None:
    campaigns = [active_campaign(1) for _ in range(3)]
    first, second = Charges(), Charges()

    def charge(own: Charges, order: list[Campaign]) -> None:
        for _ in range(20):
            own.add({each.pk: 1.0 for each in order})
            own.fold()

    in_parallel([lambda: charge(first, campaigns), lambda: charge(second, campaigns[::-1])])
    assert [account(each) for each in campaigns] == [40.0] * 3


def test_what_is_charged_counts_until_the_rows_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    charged = active_campaign(1)
    own = Charges()
    seen: list[Any] = []
    real = charges._write

    def write(sums: dict[int, float]) -> None:
        own.add({charged.pk: 2.0})
        seen.append(own.outstanding())
        real(sums)

    monkeypatch.setattr(charges, "_write", write)
    own.add({charged.pk: 5.0})
    own.fold()
    assert seen == [{charged.pk: 7.0}]
    assert (account(charged), own.outstanding()) == (5.0, {charged.pk: 2.0})


def test_charges_are_written_a_few_times_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(charges.time, "monotonic", lambda: clock[0])
    charged = active_campaign(1)
    own = Charges()
    accounts = []
    for clock[0] in (100.0, 100.1, 100.25, 100.3, 100.44, 100.5):
        own.add({charged.pk: 1.0})
        accounts.append(account(charged))
    assert accounts == [0.0, 0.0, 3.0, 3.0, 3.0, 6.0]


def test_a_campaign_that_is_gone_is_charged_no_more() -> None:
    gone, there = active_campaign(1), active_campaign(1)
    own = Charges()
    own.add({gone.pk: 1.0, there.pk: 1.0})
    Campaign.objects.filter(pk=gone.pk).delete()
    own.fold()
    assert (account(there), Share.objects.count()) == (1.0, 1)


def test_charges_that_cannot_be_written_are_given_up(caplog: pytest.LogCaptureFixture) -> None:
    charged = active_campaign(1)
    own = Charges()
    own.add({charged.pk: -1.0})  # no account is below 0
    own.fold()
    assert "the accounts of 1 campaigns were not charged" in caplog.text
    assert own.outstanding() == {}
    own.add({charged.pk: 1.0})
    own.fold()
    assert account(charged) == 1.0


def test_a_claim_is_charged_once_it_is_committed() -> None:
    running = active_campaign(3)
    claim(worker(), 2, now=at(1))
    CHARGES.fold()
    assert account(running) == 20.0
    assert connection.in_atomic_block is False


@pytest.mark.parametrize(("end", "charged"), [("ended", 20.0), ("killed", 0.0)])
def test_a_process_writes_its_charges_as_it_ends_and_loses_them_when_killed(
    end: str, charged: float, process_environment: dict[str, str]
) -> None:
    running = active_campaign(9)
    worker(), worker()
    process = subprocess.run(
        [sys.executable, "-c", CLAIMS, end],
        env=process_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.split() == ["1", "1"], process.stderr
    assert account(running) == charged
    # What was lost changes nothing for the claims of others.
    assert len(claim(worker(), 2, now=at(10**8)).attempts) == 2
