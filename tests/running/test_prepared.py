"""Prepared queries give the rows of the query set that they are made from, with other values."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import CharField, Exists, IntegerField, OuterRef, QuerySet
from django.db.models.query import ModelIterable
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from campaigns.models import Campaign
from tests import factories
from xeenet_site.accounts import AccountBackend
from xeenet_site.web import roles
from xeenet_site.web.prepared import Prepared, Slot

pytestmark = pytest.mark.django_db


def _builds(counter: list[int]) -> Prepared[User]:
    def users() -> QuerySet[User]:
        counter.append(1)
        is_operator = Exists(Group.objects.filter(user=OuterRef("pk"), name=roles.OPERATOR))
        named = User.objects.filter(username=Slot("name", CharField()))
        return named.annotate(is_operator=is_operator)

    return Prepared(users)


def test_rows_are_model_instances_with_annotations_and_the_query_is_built_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    ann, bob = (User.objects.create_user(name) for name in ("ann", "bob"))
    roles.give_role(bob, roles.OPERATOR)
    built: list[int] = []
    users = _builds(built)

    with django_assert_num_queries(3):
        first, second, nobody = (users.rows(name=name) for name in ("ann", "bob", "eve"))

    assert (first, second, nobody) == ([ann], [bob], [])
    assert (first[0].is_operator, second[0].is_operator) == (False, True)
    assert first[0].date_joined == ann.date_joined
    assert len(built) == 1
    # What the rows lead to is read as ever.
    assert [group.name for group in second[0].groups.all()] == [roles.OPERATOR]


def test_related_rows_and_deferred_columns_are_those_of_the_query_set() -> None:
    campaign = factories.campaign()

    def campaigns() -> QuerySet[Campaign]:
        rows = Campaign.objects.select_related("package").defer("package__source")
        return rows.filter(pk=Slot("pk", IntegerField()))

    row = Prepared(campaigns).first(pk=campaign.pk)

    assert row is not None
    assert row.created_at == campaign.created_at
    assert row.search_space == campaign.search_space
    assert "package" in row._state.fields_cache
    assert row.package.get_deferred_fields() == {"source"}
    row.name = "another name"
    row.save(update_fields=["name"])
    assert Campaign.objects.get().name == "another name"


def test_columns_are_converted_and_a_union_keeps_its_order_and_limit() -> None:
    campaigns = [factories.campaign(name=name) for name in ("b", "a", "c")]

    def rows() -> QuerySet[Campaign, tuple[str, object]]:
        pks = [campaign.pk for campaign in campaigns]
        some = Campaign.objects.filter(pk__gte=Slot("lowest", IntegerField())).order_by()
        columns = some.values_list("name", "created_at")
        return columns.filter(pk=pks[0]).union(columns.exclude(pk=pks[0])).order_by("name")[:2]

    prepared = Prepared(rows)

    assert prepared.rows(lowest=0) == [
        ("a", campaigns[1].created_at),
        ("b", campaigns[0].created_at),
    ]
    assert [name for name, _ in prepared.rows(lowest=campaigns[1].pk)] == ["a", "c"]


def test_a_slot_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="name"):
        _builds([]).rows(called="ann")


@pytest.mark.django_db(transaction=True)
def test_threads_share_a_query_but_not_a_connection() -> None:
    names = [f"user-{number}" for number in range(8)]
    for name in names:
        User.objects.create_user(name)
    built: list[int] = []
    users = _builds(built)

    def read(name: str) -> list[str]:
        try:
            return [user.username for _ in range(20) for user in users.rows(name=name)]
        finally:
            connection.close()

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # the threads take turns in the middle of each run
    try:
        with ThreadPoolExecutor(4) as threads:
            read_names = list(threads.map(read, names))
    finally:
        sys.setswitchinterval(usual)

    assert read_names == [[name] * 20 for name in names]
    assert len(built) == 1


def test_a_run_that_begins_inside_another_changes_nothing_there() -> None:
    User.objects.create_user("outer")
    User.objects.create_user("inner")
    inside: list[str] = []

    class Interrupted(ModelIterable):
        """Runs the query for somebody else before it asks the database."""

        def __iter__(self) -> Iterator[User]:
            if not inside:
                inside.append("began")
                inside[:] = [user.username for user in users.rows(name="inner")]
            return super().__iter__()

    def build() -> QuerySet[User]:
        found = User.objects.filter(username=Slot("name", CharField()))
        found._iterable_class = Interrupted
        return found

    users = Prepared(build)
    assert [user.username for user in users.rows(name="outer")] == ["outer"]
    assert inside == ["inner"]


def test_a_session_that_has_expired_belongs_to_nobody(client: Client) -> None:
    user = User.objects.create_user("ann")
    client.force_login(user, backend=f"{AccountBackend.__module__}.{AccountBackend.__name__}")
    assert client.get("/account/").status_code == 200

    session = client.session
    session.model.objects.update(expire_date=timezone.now())

    assert client.get("/account/").status_code == 302
