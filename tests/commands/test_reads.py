"""``manage.py analysis``, ``compare``, ``overview``, ``audit_log`` print what the API returns."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.test import APIClient

from campaigns.analysis.importance import MIN_RESULTS
from campaigns.models import Campaign, ImportanceEstimate
from campaigns.panels import PANELS
from tests import factories

pytestmark = pytest.mark.django_db


def run(*arguments: Any) -> str:
    output = StringIO()
    call_command(*map(str, arguments), stdout=output, stderr=StringIO())
    return output.getvalue()


def campaign_with(*values: float) -> Campaign:
    campaign = factories.active_campaign(len(values))
    worker = factories.worker()
    for value in values:
        factories.finish(factories.claim_one(worker), value)
    return campaign


def test_a_panel_prints_as_csv_and_as_the_apis_json() -> None:
    campaign = campaign_with(3.0, 2.5, 2.75, 2.8)

    for panel in PANELS:
        panel_json = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/analysis/{panel}").json()
        assert json.loads(run("analysis", panel, campaign.pk, "--json")) == panel_json, panel
        rows = list(csv.reader(run("analysis", panel, campaign.pk).splitlines()))
        assert [len(rows) - 1, rows[0]] == [len(panel_json["rows"]), panel_json["columns"]], panel


def test_importance_is_computed_where_no_job_did_and_the_kept_one_is_printed_after() -> None:
    campaign = campaign_with(*(2 + n / 100 for n in range(MIN_RESULTS)))

    printed = json.loads(run("analysis", "importance", campaign.pk, "--json"))

    assert {row[0] for row in printed["rows"]} == {"lr", "d_model"}
    estimate = ImportanceEstimate.objects.get()
    campaign.refresh_from_db()
    assert (estimate.device, estimate.revision) == ("", campaign.revision)
    run("analysis", "importance", campaign.pk)
    assert ImportanceEstimate.objects.get().computed_at == estimate.computed_at
    run("analysis", "importance", campaign.pk, "--device", "cpu")
    assert ImportanceEstimate.objects.filter(device="cpu", revision__isnull=False).exists()


def test_a_panel_says_what_it_cannot_show() -> None:
    campaign = campaign_with(3.0)

    with pytest.raises(CommandError, match="device: Must be one of: cpu"):
        run("analysis", "slice", campaign.pk, "--device", "abacus")
    with pytest.raises(CommandError, match="invalid choice"):
        run("analysis", "horoscope", campaign.pk)


def test_a_comparison_prints_as_the_apis_json() -> None:
    first, second = campaign_with(3.0), campaign_with(2.5)

    comparison = APIClient().get("/api/v1/compare", {"campaigns": f"{first.pk},{second.pk}"}).json()

    assert json.loads(run("compare", "--campaigns", f"{first.pk},{second.pk}")) == comparison
    with pytest.raises(CommandError, match="Must be 2 to 5 different tasks"):
        run("compare", "--tasks", "1/1")
    missing = f"There is no task {first.pk}/998 and no {first.pk}/999"
    with pytest.raises(CommandError, match=missing):
        run("compare", "--tasks", f"{first.pk}/998,{first.pk}/999")


def test_the_overview_prints_figures_champions_and_concerns() -> None:
    campaign = campaign_with(2.5)
    factories.active_campaign(2)

    printed = run("overview")

    assert "Active campaigns: 1; tasks: 0 run, 2 wait" in printed
    assert f"{campaign.name}: val_bpb 2.5000 (one seed: unknown; task" in printed
    assert "! 2 tasks wait and no worker is online." in printed


def test_the_audit_log_prints_what_was_done_and_no_control_character() -> None:
    campaign = factories.campaign(name="red \x1b[31m alert")
    run("campaign", "launch", campaign.pk)
    run("campaign", "pause", campaign.pk, "--reason", "too hot")

    printed = run("audit_log", "--kind", "campaign", "--target", campaign.pk)

    newest, older = printed.splitlines()
    assert "command line  pause  campaign" in newest
    assert newest.endswith("red \ufffd[31m alert: too hot")
    assert "launch" in older
    assert "launch" not in run("audit_log", "--verb", "pause")
    assert run("audit_log", "--search", "blue") == ""
    assert len(run("audit_log", "--limit", 1).splitlines()) == 1
    assert run("audit_log", "--since", "2999-01-01") == ""
    assert len(run("audit_log", "--until", "2999-01-01T12:00+02:00").splitlines()) == 2
    with pytest.raises(CommandError, match="--since"):
        run("audit_log", "--since", "yesterday")


def test_the_audit_log_names_a_script_which_has_no_number() -> None:
    script = factories.uploaded(b"import json\n")

    assert f"upload_script  package {script}: {script.sha256}" in run("audit_log")
