"""``manage.py worker VERB``."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone

from tests import factories
from tests.clients import agent_client, bearer
from workers import lifecycle
from workers.models import AuditEntry, EnrolmentToken

pytestmark = pytest.mark.django_db


def run(*arguments: Any) -> str:
    output = StringIO()
    call_command("worker", *map(str, arguments), stdout=output, stderr=StringIO())
    return output.getvalue()


def test_a_worker_is_drained_resumed_disabled_and_each_act_is_in_the_log() -> None:
    factories.worker("lab-7")

    lines = [run(verb, "lab-7") for verb in ("drain", "resume", "disable")]

    assert lines == [f"Worker lab-7 is {state}.\n" for state in ("draining", "active", "disabled")]
    with pytest.raises(CommandError, match="is not active or draining"):
        run("disable", "lab-7")
    acts = AuditEntry.objects.order_by("pk").values_list("verb", "actor_name")
    assert list(acts) == [(verb, "command line") for verb in ("drain", "resume", "disable")]


def test_a_new_token_replaces_the_old_one() -> None:
    old, _ = agent_client("lab-7")

    secret = run("rotate-token", "lab-7").strip()

    assert old.get("/api/v1/workers/me").status_code == 401
    assert bearer(secret).get("/api/v1/workers/me").status_code == 200


def test_a_persons_own_program_is_listed_as_such() -> None:
    ada = factories.user("ada")
    lifecycle.identity_of(ada, now=timezone.now())

    assert "ask:ada  active, offline, program of ada: 0 attempts" in run("list")

    ada.delete()
    assert "program of an account that is gone" in run("list")


def test_the_fleet_is_listed_by_state_and_one_worker_with_its_hardware() -> None:
    factories.worker("lab-7", hardware={"cpu_model": "fast \x1b[2J", "devices": ["cuda"]})
    lifecycle.drain(factories.worker("attic"))

    assert [line.split()[1] for line in run("list").splitlines()] == ["attic", "lab-7"]
    assert "attic" in run("list", "--state", "draining")
    assert "lab-7" not in run("list", "--state", "draining")
    assert [line.split()[1] for line in run("list", "--search", "TTI").splitlines()] == ["attic"]
    details = run("show", "lab-7")
    assert "active, offline, cuda" in details
    assert "cpu_model: fast \ufffd[2J" in details
    with pytest.raises(CommandError, match="There is no worker named 'cellar'"):
        run("show", "cellar")


def test_its_attempts_are_printed_as_its_page_sends_them() -> None:
    worker = factories.worker("lab-7")
    factories.completed_task(2.5, by=worker)
    factories.completed_task(2.0)

    printed = run("attempts", "lab-7")

    assert [row["val_bpb"] for row in csv.DictReader(printed.splitlines())] == ["2.5"]
    assert printed == Client().get(f"/workers/{worker.pk}/attempts.csv").getvalue().decode()


def test_invitations_are_listed_and_withdrawn_while_nobody_used_them() -> None:
    factories.worker("joined")
    invitation, secret = lifecycle.invite(now=timezone.now(), label="for the attic")

    listed = run("invitations")
    assert "(joined)  used by joined" in listed
    assert "(for the attic)  open, until" in listed
    assert run("withdraw", invitation.pk) == f"Invitation {invitation.pk} is withdrawn.\n"

    with pytest.raises(lifecycle.EnrolmentRefused):
        lifecycle.enrol(secret, now=timezone.now())
    with pytest.raises(CommandError, match="There is no invitation"):
        run("withdraw", invitation.pk)
    with pytest.raises(CommandError, match="disable the worker instead"):
        run("withdraw", EnrolmentToken.objects.get().pk)
