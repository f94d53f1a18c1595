"""manage.py fleet: make, list and revoke the tokens of fleets."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.factories import NOW
from tests.fleets import fleet_token
from workers.fleet_token import FleetToken
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db


def fleet(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("fleet", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_create_prints_the_secret_alone_and_the_commands_beside_it() -> None:
    out, err = fleet("create", "cluster", "--max-live", "3", "--tier", "T1", "--days", "1")
    token = FleetToken.objects.get()
    assert token.token_hash == hash_token(out.strip())
    assert (token.label, token.name_prefix, token.max_live, token.tier) == (
        "cluster",
        "fleet",
        3,
        "T1",
    )
    assert f"XEENET_FLEET_TOKEN={out.strip()} xeenet-worker" in err


def test_list_tells_open_revoked_and_expired_tokens_apart() -> None:
    fleet_token(label="open one")
    fleet_token(label="old one", expires_at=NOW)
    revoked, _ = fleet_token(label="stolen one")
    fleet("revoke", str(revoked.pk))
    out, _ = fleet("list")
    lines = {line.split("  ")[-2].strip(): line for line in out.splitlines()}
    assert "  open, " in lines["open one"]
    assert "  expired, " in lines["old one"]
    assert "  revoked, " in lines["stolen one"]


def test_wrong_values_and_unknown_numbers_are_said() -> None:
    with pytest.raises(CommandError, match="name_prefix: Begin with a letter"):
        fleet("create", "cluster", "--max-live", "3", "--name-prefix", "a b")
    with pytest.raises(CommandError, match="no fleet token 77"):
        fleet("revoke", "77")
    token, _ = fleet_token()
    fleet("revoke", str(token.pk))
    with pytest.raises(CommandError, match="revoked already"):
        fleet("revoke", str(token.pk))
