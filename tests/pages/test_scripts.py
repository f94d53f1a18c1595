"""/scripts/: the list, the upload form, and a script's page with its difference and its verbs."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle
from campaigns.models import Campaign, Package, PackageOrigin
from campaigns.scripts import steering as script_steering
from experiments import catalog
from tests import factories
from tests.factories import NOW, uploaded
from tests.pages.campaign_form import posted
from workers.models import AuditEntry
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
OWN = catalog.script_source("train_char_lm")
# Text that a page must show verbatim.
VARIATION = OWN + b"\n# <script>alert(1)</script> {{ 7 * 7 }}\n"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(factories.user("grace", role=roles.OPERATOR))
    return client


def upload(
    client: Client, source: bytes = VARIATION, filename: str = "wider.py", **data: str
) -> Any:
    file = io.BytesIO(source)
    file.name = filename
    fields = {"experiment": "train_char_lm", "name": ""} | data
    return client.post(reverse("script-upload"), fields | {"source": file})


def test_an_upload_is_named_after_its_file_and_shown_as_waiting(researcher: Client) -> None:
    answer = upload(researcher)

    package = Package.objects.get(origin=PackageOrigin.UPLOADED)
    assert answer["Location"] == package.get_absolute_url()
    assert (package.name, str(package.uploaded_by)) == ("wider", "ada")
    page = researcher.get(package.get_absolute_url()).text
    assert "No worker gets this script" in page
    assert package.sha256 in page
    assert 'id="approve-button"' not in page
    listed = researcher.get(reverse("scripts")).text
    assert "waits for approval" in listed
    assert package.get_absolute_url() in listed


def test_the_same_file_again_leads_to_the_script_that_is_there(researcher: Client) -> None:
    upload(researcher)

    answer = researcher.get(upload(researcher)["Location"])

    assert "These very bytes are here already." in answer.text
    assert Package.objects.filter(origin=PackageOrigin.UPLOADED).count() == 1


@pytest.mark.parametrize(
    ("source", "filename", "sentence"),
    [
        (b"", "empty.py", "The script is empty."),
        (b"PK\x03\x04" + bytes(100), "many.zip", "This is a zip file"),
        (b"x = 1\n\x00", "nul.py", "cannot see"),
        (b"# " + b"x" * 300_000, "long.py", "larger than 256 KiB"),
        (b"import numpy\n", "numpy.py", "imports numpy"),
        (VARIATION, ".py", "must not be empty"),
        (OWN, "own.py", "choose that experiment"),
    ],
)
def test_what_cannot_be_approved_by_reading_is_refused_at_its_field(
    researcher: Client, source: bytes, filename: str, sentence: str
) -> None:
    answer = upload(researcher, source, filename)

    assert answer.status_code == 422
    assert sentence in answer.text
    assert not Package.objects.filter(origin=PackageOrigin.UPLOADED).exists()


@pytest.mark.parametrize("filename", ["..\\..\\etc/cron.d/../wider.PY", "wi\u202eder.py"])
def test_neither_a_path_nor_what_is_hidden_in_a_file_name_gets_into_the_scripts_name(
    researcher: Client, filename: str
) -> None:
    upload(researcher, filename=filename)

    assert Package.objects.get(origin=PackageOrigin.UPLOADED).name == "wider"


def test_a_name_that_hides_something_is_refused(researcher: Client) -> None:
    answer = upload(researcher, name="wi\u202eder")

    assert answer.status_code == 422
    assert "visible characters only" in answer.text


def test_a_viewer_sees_no_form_and_may_not_upload(client: Client) -> None:
    client.force_login(factories.user(role=roles.VIEWER))

    assert 'id="upload-button"' not in client.get(reverse("scripts")).text
    assert upload(client).status_code == 403
    client.logout()
    assert upload(client)["Location"].startswith(reverse("login"))
    assert not Package.objects.exists()


def test_the_page_shows_the_whole_text_and_what_it_changes(operator: Client) -> None:
    page = operator.get(uploaded(VARIATION).get_absolute_url()).text

    text = "# &lt;script&gt;alert(1)&lt;/script&gt; {{ 7 * 7 }}"
    assert f'<span class="added">+{text}</span>' in page
    assert page.count(text) == 2
    assert "<script>alert" not in page


def test_an_operator_approves_and_withdraws_and_the_audit_page_leads_back(
    operator: Client,
) -> None:
    package = uploaded(VARIATION)
    assert "Approve this script?" in operator.get(package.get_absolute_url()).text

    for verb, may_run in (("approve", True), ("withdraw", False)):
        operator.post(reverse("script-change", args=[package.sha256, verb]))
        package.refresh_from_db()
        assert package.may_run is may_run

    audit = operator.get(reverse("audit")).text
    assert audit.count(f'href="{package.get_absolute_url()}"') == 3
    verbs = AuditEntry.objects.order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["upload_script", "approve_script", "withdraw_script"]


def test_an_operator_declines_with_a_reason_that_the_uploader_reads(client: Client) -> None:
    ada = factories.user("ada")
    client.force_login(ada)
    package = Package.objects.get(pk=upload(client)["Location"].split("/")[-2])
    client.force_login(factories.user("grace", role=roles.OPERATOR))
    address = reverse("script-change", args=[package.sha256, "decline"])

    assert "must say why" in client.post(address, follow=True).text
    answer = client.post(address, {"reason": "It <b>reads</b> /etc\0."}, follow=True).text

    assert "Declined: the uploader can read why" in answer
    assert 'id="decline-button"' not in answer
    assert 'id="approve-button"' in answer
    assert reverse("script", args=[package.sha256]) in client.get(reverse("audit")).text
    client.force_login(ada)
    page = client.get(package.get_absolute_url()).text
    assert "declined it: <bdi>It &lt;b&gt;reads&lt;/b&gt; /etc\ufffd.</bdi>" in page
    assert "by <bdi>grace</bdi>" in page
    assert ">declined</span>" in client.get(reverse("scripts")).text
    assert f"{package}, declined" in client.get(reverse("campaign-new")).text


def test_the_uploader_deletes_a_script_while_no_campaign_uses_it(researcher: Client) -> None:
    upload(researcher)
    package = Package.objects.get(origin=PackageOrigin.UPLOADED)
    address = reverse("script-change", args=[package.sha256, "delete"])
    campaign = factories.campaign(script=package.sha256)

    assert 'id="delete-button"' not in researcher.get(package.get_absolute_url()).text
    assert "A campaign uses the script" in researcher.post(address, follow=True).text
    campaign.delete()
    assert 'id="delete-button"' in researcher.get(package.get_absolute_url()).text
    answer = researcher.post(address, follow=True)

    assert answer.redirect_chain == [(reverse("scripts"), 302)]
    assert "Deleted: the audit log keeps its hash." in answer.text
    assert not Package.objects.filter(origin=PackageOrigin.UPLOADED).exists()
    researcher.force_login(factories.user(role=roles.OPERATOR))
    audit = researcher.get(reverse("audit")).text
    assert package.sha256 in audit
    assert package.get_absolute_url() not in audit


def test_nobody_but_its_uploader_and_operators_is_offered_to_delete_a_script(
    researcher: Client,
) -> None:
    package = uploaded(VARIATION)

    assert 'id="delete-button"' not in researcher.get(package.get_absolute_url()).text
    answer = researcher.post(reverse("script-change", args=[package.sha256, "delete"]))

    assert answer.status_code == 403
    assert Package.objects.filter(pk=package.pk).exists()


def test_approving_twice_is_told_and_changes_nothing(operator: Client) -> None:
    address = reverse("script-change", args=[uploaded(VARIATION).sha256, "approve"])
    operator.post(address)

    assert "approved already" in operator.post(address, follow=True).text


def test_nobody_below_an_operator_approves_not_even_the_own_script(researcher: Client) -> None:
    upload(researcher)
    package = Package.objects.get(origin=PackageOrigin.UPLOADED)

    answer = researcher.post(reverse("script-change", args=[package.sha256, "approve"]))

    assert answer.status_code == 403
    package.refresh_from_db()
    assert not package.may_run


def test_a_script_that_is_not_here_is_not_found(client: Client) -> None:
    assert client.get(reverse("script", args=["0" * 64])).status_code == 404
    assert client.get("/scripts/..%2F..%2Fetc%2Fpasswd/").status_code == 404


def test_the_new_campaign_form_takes_a_script_and_a_tier(researcher: Client) -> None:
    package = uploaded(VARIATION)
    form = researcher.get(reverse("campaign-new"), {"script": package.sha256}).text
    assert f'value="{package.sha256}" selected' in form
    assert "before an operator has approved it" in form

    posted(researcher, script=package.sha256, required_isolation="T1")

    campaign = Campaign.objects.get()
    assert (campaign.package, campaign.required_isolation) == (package, "T1")
    clone = researcher.get(reverse("campaign-new"), {"clone": campaign.pk}).text
    assert f'value="{package.sha256}" selected' in clone
    assert '<option value="T1" selected' in clone


@pytest.mark.parametrize("script", ["0" * 64, "x", "\0"])
def test_a_script_that_is_not_here_starts_no_campaign(researcher: Client, script: str) -> None:
    assert researcher.get(reverse("campaign-new"), {"script": script}).status_code == 404
    assert posted(researcher, script=script).status_code == 422
    assert not Campaign.objects.exists()


def test_the_campaign_page_says_what_it_waits_for_and_who_can_help(client: Client) -> None:
    package = uploaded(VARIATION)
    campaign = factories.active_campaign(script=package.sha256, required_isolation="T1")
    factories.user("grace", role=roles.OPERATOR)
    address = campaign.get_absolute_url()

    stranger = client.get(address).text
    client.force_login(factories.user("ada"))
    reader = client.get(address).text
    script_steering.approve(None, package, now=NOW)
    approved = client.get(address).text

    assert "No worker gets tasks of this campaign" in stranger
    assert "grace" not in stranger
    assert "approve it: <bdi>grace</bdi>" in reader
    assert "No worker gets tasks" not in approved
    script_steering.withdraw(None, package, now=NOW)
    lifecycle.cancel(campaign, now=NOW)
    assert "No worker gets tasks" not in client.get(address).text
    assert "<dt>isolation</dt><dd>T1 or a stronger tier</dd>" in approved


def test_the_fleet_and_the_workers_page_tell_how_scripts_are_held_back(client: Client) -> None:
    factories.worker("strong", isolation="T1", accepts_uploaded_scripts=True)
    silent = factories.worker("silent")

    fleet = client.get(reverse("workers")).text
    worker_page = client.get(reverse("worker", args=[silent.pk])).text

    assert ">T1</abbr>" in fleet
    assert "takes uploads" in fleet
    assert "which counts as T0" in fleet
    assert "which counts as T0" in worker_page


def test_an_approval_in_the_admin_approves_and_is_logged(client: Client) -> None:
    package = uploaded(VARIATION)
    client.force_login(factories.user("root", is_staff=True, is_superuser=True))
    address = reverse("admin:campaigns_package_changelist")

    data = {"action": "approve", "_selected_action": package.sha256}
    answer = client.post(address, data, follow=True)

    assert "1 script(s) approved" in answer.text
    package.refresh_from_db()
    assert str(package.approved_by) == "root"
    assert AuditEntry.objects.filter(verb="approve_script", actor_name="root").exists()


def test_the_template_is_offered_to_those_who_may_upload_and_is_the_file(
    client: Client, researcher: Client
) -> None:
    address = reverse("script-template")
    assert f'href="{address}"' in researcher.get(reverse("scripts")).text
    answer = researcher.get(address)
    assert answer.content == catalog.script_template()
    assert answer["Content-Disposition"] == 'attachment; filename="my_script.py"'
    again = upload(researcher, answer.content, "my_script.py")
    assert (
        Package.objects.get(origin=PackageOrigin.UPLOADED).get_absolute_url() == again["Location"]
    )


def test_the_pages_say_whether_a_script_starts_warm(operator: Client) -> None:
    package = uploaded()
    cold = "cold until <code>check_experiment --record</code>"
    assert cold in operator.get(package.get_absolute_url()).text
    assert '<td class="wide-only">cold</td>' in operator.get(reverse("scripts")).text

    script_steering.note_warm_check(None, package, passed=True, now=NOW)

    page = operator.get(package.get_absolute_url()).text
    assert cold not in page
    assert 'id="script-start">warm: checked <time' in page
    assert "warm, checked <time" in operator.get(reverse("scripts")).text
