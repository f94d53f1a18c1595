"""The page of fleets: their tokens, a new one, and the end of one."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import user
from tests.fleets import fleet_token, fleet_worker
from workers.fleet_token import FleetToken
from workers.models import AuditEntry
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db
URL = "/workers/fleets/"
SCOPE = {"label": "Slurm, queue gpu", "name_prefix": "slurm", "max_live": "4"}


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(user(role="operator"))
    return client


def test_a_new_token_is_shown_once_with_what_the_jobs_run(operator: Client) -> None:
    page = operator.post(URL, SCOPE | {"tier": "T1", "lifetime_days": "30"})
    token = FleetToken.objects.get()
    secret = page.context["secret"]
    assert token.token_hash == hash_token(secret)
    assert (token.label, token.name_prefix, token.max_live, token.tier) == (
        "Slurm, queue gpu",
        "slurm",
        4,
        "T1",
    )
    assert token.expires_at is not None
    assert (token.expires_at - token.created_at).days == 30
    assert f"XEENET_FLEET_TOKEN={secret} xeenet-worker" in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]
    assert secret not in operator.get(URL).content.decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name_prefix": "with space"},
        {"name_prefix": "-x"},
        {"name_prefix": "x\n"} | {"label": ""},
        {"max_live": "0"},
        {"max_live": "10001"},
        {"tier": "T9"},
        {"lifetime_days": "0"},
    ],
    ids=str,
)
def test_a_scope_that_no_token_has_is_said_at_its_field(
    operator: Client, wrong: dict[str, str]
) -> None:
    page = operator.post(URL, SCOPE | wrong)
    assert page.context["form"].errors.keys() <= wrong.keys()
    assert page.context["form"].errors
    assert 'class="errors"' in page.content.decode()
    assert not FleetToken.objects.exists()


def test_a_token_is_revoked_once(operator: Client) -> None:
    token, secret = fleet_token(now=timezone.now(), label="the cluster")
    fleet_worker(secret, now=timezone.now())
    assert "1<span" in operator.get(URL).content.decode()
    address = reverse("fleet-revoke", args=[token.pk])
    assert "claim no more" in operator.post(address, follow=True).content.decode()
    assert "revoked already" in operator.post(address, follow=True).content.decode()
    assert AuditEntry.objects.get().verb == "revoke_fleet"


def test_the_page_is_for_operators(client: Client) -> None:
    token, _ = fleet_token()
    client.force_login(user())
    assert client.get(URL).status_code == 403
    assert client.post(URL, SCOPE).status_code == 403
    assert client.post(reverse("fleet-revoke", args=[token.pk])).status_code == 403
    assert FleetToken.objects.get().revoked_at is None
