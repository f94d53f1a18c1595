"""The page of turns: the order in which campaigns are next, and its forms."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from campaigns import lifecycle
from campaigns.models import Campaign, Share
from tests import factories
from tests.factories import active_campaign, at, user
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db

PAGE = "/campaigns/shares/"


@pytest.fixture
def owner(client: Client) -> Any:
    person = user()
    client.force_login(person)
    return person


def rows(page: str) -> list[str]:
    """Return the rows of the list, each as text without tags."""
    return [
        " ".join(re.sub(r"<[^>]+>", " ", row).split())
        for row in re.findall(r'<tr id="turn-.*?</tr>', page, re.DOTALL)
    ]


def save(client: Client, of: Campaign, **fields: object) -> str:
    answer = client.post(f"/campaigns/{of.pk}/share/", fields, follow=True)
    assert answer.redirect_chain == [(PAGE, 302)]
    return str(answer.text)


def test_the_page_lists_turns_in_their_order_and_says_what_the_order_means(
    client: Client, owner: Any
) -> None:
    mine = active_campaign(2, owner=owner, name="mine")
    heavy = active_campaign(2, name="heavy")
    paused = active_campaign(2, name="paused")
    lifecycle.pause(paused, now=at(1))
    factories.campaign(name="a draft")
    Share.objects.filter(pk=mine.pk).update(account=50.0)
    Share.objects.filter(pk=heavy.pk).update(weight=3.0)
    page = client.get(PAGE).text
    found = rows(page)
    assert [row.split()[0] for row in found] == ["heavy", "mine", "paused"]
    assert " 1st of 2 75 % " in found[0]
    assert " 2nd of 2 25 % " in found[1]
    assert "hands out nothing" in found[2]
    assert "Next is the one that was handed out least" in page
    # A form for one's own campaign alone, and no weight in it.
    assert [f'action="/campaigns/{each.pk}/share/"' in page for each in (mine, heavy)] == [
        True,
        False,
    ]
    assert 'name="weight"' not in page
    assert PAGE in client.get("/campaigns/").text
    assert PAGE in client.get(mine.get_absolute_url()).text


def test_owners_order_their_campaigns_and_operators_weigh_them(client: Client, owner: Any) -> None:
    first, second = (active_campaign(2, owner=owner, name=name) for name in ("first", "second"))
    page = save(client, second, place=1)
    assert "The share of second is saved." in page
    assert [row.split()[0] for row in rows(page)] == ["second", "first"]
    assert "behind the owner’s first 0 %" in rows(page)[1]
    assert [row.split()[0] for row in rows(save(client, second, place=""))] == ["first", "second"]
    assert "The share stays as it was. The place must be from 1 to 1,000" in save(
        client, second, place=-1
    )
    assert "The place must be a whole number" in save(client, second, place="x")
    assert client.post(f"/campaigns/{first.pk}/share/", {"weight": 2}).status_code == 403
    operator = user(role=roles.OPERATOR)
    client.force_login(operator)
    assert " 1st of 2 75 % " in rows(save(client, first, place="", weight=3))[0]
    assert "The weight must be a number" in save(client, first, weight="")
    assert set(Share.objects.values_list("weight", "place")) == {(3.0, None), (1.0, None)}


def test_a_stranger_orders_nothing(client: Client, owner: Any) -> None:
    other = active_campaign(1, owner=user())
    assert client.post(f"/campaigns/{other.pk}/share/", {"place": 1}).status_code == 403
    assert Share.objects.get(pk=other.pk).place is None


def test_without_campaigns_the_page_says_so_and_its_queries_do_not_grow(
    client: Client, owner: Any, django_assert_max_num_queries: Any
) -> None:
    assert "No campaign runs, so nobody takes turns." in client.get(PAGE).text
    for _ in range(3):
        active_campaign(1)
    with django_assert_max_num_queries(8):
        client.get(PAGE)
