"""``manage.py script``: upload, list, show, approve, decline, delete; create_campaign --script."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from campaigns.models import Campaign, Package, PackageOrigin
from experiments import catalog
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db
VARIATION = catalog.script_source("train_char_lm") + b"\n# a variation\n"


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output, stderr=output)
    return output.getvalue()


@pytest.fixture
def script(tmp_path: Path) -> Package:
    path = tmp_path / "wider.py"
    path.write_bytes(VARIATION)
    run("script", "upload", str(path))
    return Package.objects.get(origin=PackageOrigin.UPLOADED)


def test_an_upload_waits_and_again_changes_nothing(script: Package, tmp_path: Path) -> None:
    assert script.name == "wider"

    again = run("script", "upload", str(tmp_path / "wider.py"), "--name", "other")

    assert "here already" in again
    assert f"wider waits for approval: sha256 {script.sha256}" in again
    assert run("script", "list").split()[:3] == [script.sha256[:12], "waits", "train_char_lm"]


def test_the_first_letters_of_a_hash_approve_and_withdraw(script: Package) -> None:
    assert "is approved" in run("script", "approve", script.sha256[:8].upper())
    assert "approved" in run("script", "list")
    with pytest.raises(CommandError, match="approved already"):
        run("script", "approve", script.sha256)
    withdrawn = run("script", "withdraw", script.sha256)
    assert "wider is declined (The approval was withdrawn.): sha256" in withdrawn

    acts = AuditEntry.objects.order_by("pk").values_list("actor_name", "verb")
    verbs = ("upload_script", "approve_script", "withdraw_script")
    assert list(acts) == [("command line", verb) for verb in verbs]


def test_a_script_is_declined_with_a_reason_and_deleted(script: Package) -> None:
    with pytest.raises(CommandError, match="--reason"):
        run("script", "decline", script.sha256)
    declined = run("script", "decline", script.sha256[:8], "--reason", "It reads\x1b /etc.")
    assert "is declined (It reads" in declined
    assert "\x1b" not in declined
    assert "declined" in run("script", "list")
    wide = run("create_campaign", "wide", "--script", script.sha256)
    assert "declined its script: It reads" in wide

    with pytest.raises(CommandError, match="A campaign uses the script"):
        run("script", "delete", script.sha256)
    Campaign.objects.all().delete()
    assert f"is deleted: sha256 {script.sha256}" in run("script", "delete", script.sha256)
    assert not Package.objects.exists()


def test_it_shows_the_text_and_what_was_changed(script: Package) -> None:
    assert run("script", "show", script.sha256).encode() == VARIATION
    assert run("script", "show", script.sha256, "--diff").splitlines()[-1] == "+# a variation"


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [("abc", "at least its first 8"), ("0" * 64, "no script"), ("0" * 65, "Give the script's")],
)
def test_a_hash_that_does_not_name_exactly_one_script_is_refused(prefix: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        run("script", "approve", prefix)


def test_what_is_no_script_is_refused_with_the_reason(tmp_path: Path) -> None:
    archive = tmp_path / "many.zip"
    archive.write_bytes(b"PK\x03\x04")

    with pytest.raises(CommandError, match="source: This is a zip file"):
        run("script", "upload", str(archive))
    with pytest.raises(CommandError, match="Cannot read"):
        run("script", "upload", str(tmp_path / "gone.py"))


def test_a_campaign_is_made_with_a_script_and_a_tier(script: Package) -> None:
    output = run("create_campaign", "wide", "--script", script.sha256[:12], "--isolation", "T1")

    campaign = Campaign.objects.get()
    assert (campaign.package, campaign.required_isolation) == (script, "T1")
    assert "waits for an operator's approval" in output
    with pytest.raises(CommandError, match="Upload it first"):
        run("create_campaign", "wide", "--script", "0" * 64)
