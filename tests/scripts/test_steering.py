"""campaigns.scripts.steering: upload, approve, decline, withdraw, delete; effects on claims."""

from __future__ import annotations

import importlib
import uuid
from typing import Any

import pytest
from django.apps import apps as global_apps
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Q

from campaigns import lifecycle
from campaigns.lifecycle.claims import lease_waiting
from campaigns.models import Campaign, Package, PackageOrigin
from campaigns.scripts import steering as script_steering
from campaigns.scripts.steering import InvalidScript
from experiments import catalog
from tests import factories
from tests.factories import NOW, VARIATION, at, claim, uploaded
from workers.models import AuditEntry, Worker
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
OWN = catalog.script_source("train_char_lm")


def open_worker(**fields: Any) -> Worker:
    """A worker whose owner allows uploaded scripts."""
    return factories.worker(**({"accepts_uploaded_scripts": True} | fields))


def test_an_upload_is_kept_by_its_hash_with_who_sent_it_and_waits() -> None:
    ada = factories.user("ada")

    package, is_new = script_steering.upload(
        ada, name="wider.py", experiment="train_char_lm", source=VARIATION, now=NOW
    )

    assert is_new
    assert (package.name, package.experiment) == ("wider", "train_char_lm")
    assert (package.origin, package.uploaded_by) == (PackageOrigin.UPLOADED, ada)
    assert not package.may_run
    assert bytes(Package.objects.get(pk=package.sha256).source) == VARIATION


def test_the_same_bytes_again_change_nothing_whoever_sends_them() -> None:
    first = uploaded(approved=True)

    again, is_new = script_steering.upload(
        factories.user(), name="mine now", experiment="train_char_lm", source=VARIATION, now=at(9)
    )

    assert (again, is_new) == (first, False)
    stored = Package.objects.get(pk=first.pk)
    assert (stored.name, stored.uploaded_by, stored.may_run) == ("wider", None, True)
    assert AuditEntry.objects.filter(verb="upload_script").count() == 1


def test_what_is_wrong_with_an_upload_is_told_field_by_field() -> None:
    with pytest.raises(InvalidScript) as refused:
        script_steering.upload(
            None, name="../x", experiment="nothing", source=b"PK\x03\x04", now=NOW
        )

    assert set(refused.value.errors) == {"name", "experiment", "source"}
    assert not Package.objects.filter(origin=PackageOrigin.UPLOADED).exists()


def test_the_experiments_own_script_is_not_taken_for_an_upload() -> None:
    with pytest.raises(InvalidScript, match="choose that experiment"):
        uploaded(OWN)


def test_a_script_that_comes_with_a_later_version_needs_no_approval_any_more() -> None:
    # The state after an update whose built-in script has the bytes of an earlier upload.
    package, _ = Package.objects.get_or_create(
        sha256=catalog.script_sha256("train_char_lm"),
        defaults={
            "name": "early",
            "experiment": "train_char_lm",
            "source": OWN,
            "origin": PackageOrigin.UPLOADED,
            "declined_at": NOW,
            "declined_reason": "as an upload",
        },
    )

    campaign = factories.campaign()

    assert campaign.package == package
    assert campaign.package.may_run
    stored = Package.objects.get(pk=package.pk)
    assert (stored.is_uploaded, stored.declined_at, stored.declined_reason) == (False, None, "")


def test_a_viewer_may_not_upload_and_a_researcher_may_not_approve() -> None:
    viewer, researcher = factories.user(role=roles.VIEWER), factories.user()
    package = uploaded()

    with pytest.raises(PermissionDenied, match="researchers and operators"):
        script_steering.upload(
            viewer, name="a", experiment="train_char_lm", source=VARIATION + b"#", now=NOW
        )
    for verb in (script_steering.approve, script_steering.withdraw):
        with pytest.raises(PermissionDenied, match="Only operators"):
            verb(researcher, package, now=NOW)
    with pytest.raises(PermissionDenied, match="Only operators"):
        script_steering.decline(researcher, package, reason="no", now=NOW)

    assert not Package.objects.get(pk=package.pk).may_run


def test_every_act_is_in_the_log_with_the_whole_hash() -> None:
    operator = factories.user("grace", role=roles.OPERATOR)
    package, _ = script_steering.upload(
        operator, name="wider", experiment="train_char_lm", source=VARIATION, now=NOW
    )

    script_steering.approve(operator, package, now=NOW)
    assert (package.approved_by, package.approved_at) == (operator, NOW)
    script_steering.withdraw(operator, package, now=NOW)

    entries = AuditEntry.objects.order_by("pk").values_list("actor_name", "verb", "detail")
    acts = ("upload_script", "approve_script", "withdraw_script")
    assert list(entries) == [("grace", act, package.sha256) for act in acts]


def test_a_script_is_approved_once_and_withdrawn_once() -> None:
    package = uploaded(approved=True)

    with pytest.raises(lifecycle.WrongState, match="approved already"):
        script_steering.approve(None, package, now=NOW)
    script_steering.withdraw(None, package, now=NOW)
    with pytest.raises(lifecycle.WrongState, match="not approved"):
        script_steering.withdraw(None, package, now=NOW)


def test_a_declined_script_says_why_and_waits_no_more_until_somebody_approves_it() -> None:
    operator = factories.user("grace", role=roles.OPERATOR)
    package = uploaded()

    script_steering.decline(operator, package, reason=" It reads /etc. ", now=at(1))

    assert (package.declined_by, package.declined_at) == (operator, at(1))
    assert (package.declined_reason, package.standing) == ("It reads /etc.", "declined")
    assert not script_steering.waiting(since=NOW).exists()
    entry = AuditEntry.objects.get(verb="decline_script")
    assert entry.detail == f"{package.sha256} It reads /etc."
    script_steering.approve(operator, package, now=at(2))
    assert (package.declined_at, package.declined_reason, package.may_run) == (None, "", True)


def test_a_script_is_declined_once_with_a_reason_and_never_while_it_is_approved() -> None:
    package = uploaded()

    with pytest.raises(InvalidScript, match="must say why"):
        script_steering.decline(None, package, reason=" ", now=NOW)
    assert package.standing == "waits for approval"
    script_steering.decline(None, package, reason="x" * 600, now=NOW)
    assert package.declined_reason == "x" * 500
    with pytest.raises(lifecycle.WrongState, match="declined already"):
        script_steering.decline(None, package, reason="again", now=NOW)
    script_steering.approve(None, package, now=NOW)
    with pytest.raises(lifecycle.WrongState, match="approved or declined already"):
        script_steering.decline(None, package, reason="now not", now=NOW)
    assert Package.objects.get(pk=package.pk).may_run


def test_a_withdrawn_approval_is_shown_as_declined() -> None:
    package = uploaded(approved=True)

    script_steering.withdraw(None, package, now=at(1))

    assert (package.standing, package.declined_at) == ("declined", at(1))
    assert package.declined_reason == "The approval was withdrawn."


def test_withdrawals_from_before_declining_are_written_on_their_scripts() -> None:
    waits, withdrawn, again = (uploaded(VARIATION + b"#" * n) for n in range(3))
    for package in (withdrawn, again):
        script_steering.approve(None, package, now=NOW)
        script_steering.withdraw(None, package, now=at(1))
    script_steering.approve(None, again, now=at(2))
    Package.objects.update(declined_at=None, declined_by=None, declined_reason="")
    migration: Any = importlib.import_module("campaigns.migrations.0008_declined_scripts")

    migration.decline_withdrawn(global_apps, connection.schema_editor())

    packages = Package.objects.in_bulk()
    assert packages[waits.pk].standing == "waits for approval"
    assert (packages[withdrawn.pk].standing, packages[withdrawn.pk].declined_at) == (
        "declined",
        at(1),
    )
    assert packages[again.pk].standing == "approved"


def test_who_uploaded_a_script_and_operators_delete_it_and_nobody_else() -> None:
    ada, operator = factories.user("ada"), factories.user(role=roles.OPERATOR)
    of_ada, of_nobody = (
        script_steering.upload(
            uploader, name="s", experiment="train_char_lm", source=text, now=NOW
        )[0]
        for uploader, text in ((ada, VARIATION), (None, VARIATION + b"#"))
    )

    with pytest.raises(PermissionDenied, match="who uploaded the script"):
        script_steering.delete(factories.user(), of_ada, now=NOW)
    with pytest.raises(PermissionDenied, match="who uploaded the script"):
        script_steering.delete(ada, of_nobody, now=NOW)
    assert Package.objects.count() == 2
    script_steering.delete(ada, of_ada, now=NOW)
    script_steering.delete(operator, of_nobody, now=NOW)

    assert not Package.objects.exists()
    deleted = AuditEntry.objects.filter(verb="delete_script").values_list("actor_name", "detail")
    assert set(deleted) == {("ada", of_ada.sha256), (operator.username, of_nobody.sha256)}
    with pytest.raises(lifecycle.WrongState, match="deleted already"):
        script_steering.delete(operator, of_ada, now=NOW)


def test_a_script_that_a_campaign_names_is_not_deleted_nor_is_the_catalogs_own() -> None:
    package = uploaded()
    draft, own = factories.campaign(script=package.sha256), factories.campaign()

    with pytest.raises(lifecycle.WrongState, match="A campaign uses the script"):
        script_steering.delete(None, package, now=NOW)
    with pytest.raises(lifecycle.WrongState, match="came with this installation"):
        script_steering.delete(None, own.package, now=NOW)

    assert Package.objects.filter(pk__in=[draft.package_id, own.package_id]).count() == 2
    assert not AuditEntry.objects.filter(verb="delete_script").exists()


def test_the_catalogs_own_script_takes_no_approval() -> None:
    with pytest.raises(lifecycle.WrongState, match="needs no approval"):
        script_steering.approve(None, factories.campaign().package, now=NOW)
    with pytest.raises(lifecycle.WrongState, match="waits for no approval"):
        script_steering.decline(None, factories.campaign().package, reason="no", now=NOW)


def test_bytes_that_were_changed_in_the_database_are_not_approved() -> None:
    package = uploaded()
    Package.objects.filter(pk=package.pk).update(source=VARIATION + b"import os\n")
    package.refresh_from_db()

    with pytest.raises(lifecycle.WrongState, match="not what was uploaded"):
        script_steering.approve(None, package, now=NOW)


def test_no_worker_gets_a_script_that_nobody_approved() -> None:
    package = uploaded()
    factories.active_campaign(1, script=package.sha256)
    worker = open_worker()

    refused = claim(worker)
    script_steering.approve(None, package, now=NOW)
    granted = claim(worker)

    assert refused.attempts == []
    assert f"uploaded script {package}, which no operator has approved" in refused.reason
    assert [attempt.task.campaign.package for attempt in granted.attempts] == [package]


def test_a_worker_whose_owner_did_not_allow_it_gets_no_uploaded_script() -> None:
    factories.active_campaign(1, script=uploaded(approved=True).sha256)

    refused = claim(factories.worker())

    assert refused.attempts == []
    assert "--allow-uploaded-scripts" in refused.reason


def test_a_withdrawn_approval_stops_new_claims_and_lets_what_runs_finish() -> None:
    package = uploaded(approved=True)
    factories.active_campaign(2, script=package.sha256)
    running = factories.claim_one(open_worker())

    script_steering.withdraw(None, package, now=at(1))

    assert claim(open_worker(), now=at(2)).attempts == []
    assert factories.finish(running, now=at(9)).verdict == "accepted"


def test_built_in_scripts_go_to_every_worker_beside_an_uploaded_one_that_waits() -> None:
    factories.active_campaign(1, script=uploaded().sha256)
    plain = factories.active_campaign(1, now=at(1))

    granted = claim(factories.worker(), now=at(2))

    assert [attempt.task.campaign for attempt in granted.attempts] == [plain]


@pytest.mark.parametrize(
    ("required", "reported", "granted"),
    [("T0", "", 1), ("T0", "T1", 1), ("T1", "", 0), ("T1", "T0", 0), ("T1", "T1", 1)],
)
def test_a_task_goes_to_workers_that_isolate_its_script_well_enough(
    required: str, reported: str, granted: int
) -> None:
    factories.active_campaign(1, required_isolation=required)

    answer = claim(factories.worker(isolation=reported))

    assert len(answer.attempts) == granted
    if not granted:
        expected = "need isolation T1; this worker holds scripts back by T0."
        assert answer.reason.endswith(expected)


@pytest.mark.parametrize(
    ("approved", "required", "reason"),
    [(False, "T0", "which no operator has approved."), (True, "T1", "need isolation T1")],
)
def test_approval_and_tier_are_required_also_when_tasks_of_one_campaign_are_claimed(
    approved: bool, required: str, reason: str
) -> None:
    package = uploaded(approved=approved)
    campaign = factories.active_campaign(1, script=package.sha256, required_isolation=required)

    refused = lease_waiting(
        open_worker(), claim_id=uuid.uuid4(), count=1, now=NOW, among=Q(campaign=campaign)
    )

    assert refused.attempts == []
    assert reason in refused.reason


def test_a_person_who_asks_for_tasks_of_their_own_campaign_gets_them_all_the_same() -> None:
    campaign = factories.active_campaign(1, script=uploaded().sha256, required_isolation="T1")

    # The script runs in the person's own program on their own machine.
    claim = lifecycle.ask(factories.worker(), campaign, claim_id=uuid.uuid4(), now=NOW)

    assert len(claim.attempts) == 1


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"script": "0" * 64}, "script", "upload it first"),
        ({"script": "../../etc/passwd"}, "script", "upload it first"),
        ({"required_isolation": "T9"}, "required_isolation", "one of T0, T1"),
    ],
)
def test_a_campaign_names_a_stored_script_and_a_known_tier(
    fields: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(lifecycle.InvalidCampaign) as refused:
        factories.campaign(**fields)

    assert reason in refused.value.errors[field][0]
    assert not Campaign.objects.exists()


def test_a_script_belongs_to_the_experiment_it_is_a_variation_of() -> None:
    package = uploaded()
    Package.objects.filter(pk=package.pk).update(experiment="another")

    with pytest.raises(lifecycle.InvalidCampaign, match="a variation of another"):
        factories.campaign(script=package.sha256)


def test_the_difference_is_what_was_changed_and_nothing_else() -> None:
    changed = [
        line for line in script_steering.difference(uploaded()) if line.startswith(("+", "-"))
    ]

    assert changed[2:] == ["+", "+# a variation"]
    assert "uploaded" in changed[1]
    assert script_steering.difference(factories.campaign().package) == []


def test_who_could_approve_is_named_without_those_who_left() -> None:
    factories.user("grace", role=roles.OPERATOR)
    factories.user("root", is_staff=True)
    factories.user("gone", role=roles.OPERATOR, is_active=False)
    factories.user("ada")

    assert script_steering.operator_names() == ["grace", "root"]
