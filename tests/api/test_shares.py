"""The share of a campaign over the API: who may set what, and what its turn is."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign, Share
from tests.clients import researcher_client, signed_in_client
from tests.factories import active_campaign, at, campaign, claim, uploaded, user, worker
from workers.models import AuditEntry
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db


def url(of: Campaign) -> str:
    return f"/api/v1/campaigns/{of.pk}/share"


def entries() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("verb", "detail"))


def test_an_owner_puts_a_campaign_first_and_takes_that_back() -> None:
    client, owner = researcher_client()
    first, second = active_campaign(2, owner=owner), active_campaign(2, owner=owner)
    answer = client.post(url(second), {"place": 1}, format="json")
    assert answer.status_code == 200
    assert answer.json()["share"] == {
        "weight": 1.0,
        "place": 1,
        "account_seconds": 0.0,
        "turn": 1,
        "turns": 2,
        "share": 1.0,
        "sentence": "Its turn is the 1st of 2; it gets 100 % of the time of workers that may run "
        "them all.",
    }
    behind = client.get(f"/api/v1/campaigns/{first.pk}").json()["share"]
    assert (behind["turn"], behind["share"]) == (None, 0.0)
    assert behind["sentence"] == "Its turns go to another campaign that its owner put first."
    assert client.post(url(second), {"place": None}, format="json").json()["share"]["place"] is None
    assert entries() == [("place", "place 1"), ("place", "no place")]


def test_a_weight_is_for_operators_alone() -> None:
    client, owner = researcher_client()
    own, other = active_campaign(2, owner=owner), active_campaign(2)
    refused = client.post(url(own), {"weight": 2.0}, format="json")
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        "Only operators may set the weight of a campaign.",
    )
    # Nor does the place come along with it.
    assert client.post(url(own), {"weight": 2.0, "place": 1}, format="json").status_code == 403
    assert client.post(url(other), {"place": 1}, format="json").status_code == 403
    assert set(Share.objects.values_list("weight", "place")) == {(1.0, None)}
    operator, _ = signed_in_client(user(role=roles.OPERATOR))
    share = operator.post(url(own), {"weight": 3.0, "place": 4}, format="json").json()["share"]
    assert (share["weight"], share["place"], share["share"]) == (3.0, 4, 0.75)
    assert entries() == [("weight", "weight 3"), ("place", "place 4")]


def test_what_stays_as_it_is_leaves_no_entry() -> None:
    client, owner = researcher_client()
    own = active_campaign(1, owner=owner)
    assert client.post(url(own), {"weight": 1.0, "place": None}, format="json").status_code == 200
    assert entries() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "place"), ({"place": 0}, "place"), ({"place": 1_001}, "place"), ({"wait": 1}, "wait")],
)
def test_a_share_that_makes_no_sense_is_refused(body: dict[str, Any], field: str) -> None:
    client, owner = researcher_client()
    answer = client.post(url(active_campaign(1, owner=owner)), body, format="json")
    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])


def test_the_sentence_says_why_a_campaign_has_no_turn() -> None:
    client, owner = researcher_client()

    def sentence(of: Campaign) -> str:
        return str(client.get(f"/api/v1/campaigns/{of.pk}").json()["share"]["sentence"])

    assert sentence(campaign(owner=owner)) == "It hands out nothing: it is draft."
    alone = active_campaign(1)
    assert sentence(alone).startswith("No other campaign waits")
    held = active_campaign(1, script=uploaded(approved=True).sha256)
    assert sentence(held).startswith("Its turn is the 2nd of 2; it gets 50 % ")
    held.package.approved_at = None
    held.package.save()
    assert sentence(held) == "Nothing of it waits to be handed out."
    claim(worker(), now=at(1))
    assert sentence(alone) == "Nothing of it waits to be handed out."
    lifecycle.pause(alone, now=at(2))
    assert sentence(alone) == "It hands out nothing: it is paused."
    Share.objects.all().delete()
    assert client.get(f"/api/v1/campaigns/{alone.pk}").json()["share"]["weight"] == 1.0
