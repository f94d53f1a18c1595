"""`manage.py campaign share`."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from campaigns.models import Share
from tests.factories import active_campaign
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db


def share(*arguments: object) -> str:
    out = StringIO()
    call_command("campaign", "share", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_the_command_prints_and_sets_weight_and_place() -> None:
    first, second = active_campaign(1), active_campaign(1)
    assert share(first.pk) == (
        f"Campaign {first.pk}: weight 1, place none. Its turn is the 1st of 2; it gets 50 % of the "
        "time of workers that may run them all.\n"
    )
    assert "weight 2.5, place 7. " in share(second.pk, "--weight", 2.5, "--place", 7)
    assert "weight 2.5, place none. " in share(second.pk, "--place", "none")
    assert [entry.actor for entry in AuditEntry.objects.all()] == [None] * 3
    assert json.loads(share(second.pk, "--json"))["weight"] == 2.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--weight", "1000"), "must be from 0.01 to 100"),
        (("--place", "0"), "must be from 1 to 1,000"),
        (("--place", "first"), "must be a whole number, or none"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], words: str) -> None:
    campaign = active_campaign(1)
    with pytest.raises(CommandError, match=words):
        share(campaign.pk, *arguments)
    assert Share.objects.get().weight == 1.0
