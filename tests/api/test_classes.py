"""campaigns/<id>/classes and classes/<id>/noise, and the same as commands."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.test import APIClient

from campaigns import jobs
from campaigns.models import Campaign, Result
from tests import factories
from tests.standings.test_noise import repeated

pytestmark = pytest.mark.django_db
API = "/api/v1"


def get(path: str) -> Any:
    answer = APIClient().get(f"{API}/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def run(*arguments: Any) -> str:
    output = StringIO()
    call_command("campaign", *map(str, arguments), stdout=output)
    return output.getvalue()


def test_a_campaign_lists_its_classes_and_marks_the_default() -> None:
    campaign = factories.active_campaign(3, dataset="english_like")
    for number, device in enumerate(("cuda", "cpu", "cpu")):
        attempt = factories.claim_one(factories.runner(), now=factories.at(number))
        factories.finish(attempt, device_used=device)
    first, second = get(f"campaigns/{campaign.pk}/classes")
    assert (first["results"], first["is_default"]) == (2, True)
    assert (second["results"], second["is_default"], second["device_kind"]) == (1, False, "cuda")
    first.pop("id")
    assert first == {
        "words": "10 s, cpu, bfloat16, runner",
        "script_sha256": campaign.package_id,
        "dataset_sha256": campaign.dataset_id,
        "metric": "val_bpb",
        "metric_version": 1,
        "budget_kind": "time",
        "budget": "10 s",
        "cost_model_sha256": "",
        "eval_is_subset": False,
        "device_kind": "cpu",
        "dtype": "bfloat16",
        "band": "runner",
        "threads": None,
        "results": 2,
        "is_default": True,
    }
    assert json.loads(run("classes", campaign.pk, "--json")) == get(
        f"campaigns/{campaign.pk}/classes"
    )
    assert run("classes", campaign.pk).splitlines() == [
        f"class {row['id']}: {row['words']}, {row['results']} results{default}"
        for row, default in zip(
            get(f"campaigns/{campaign.pk}/classes"), (" (default)", ""), strict=True
        )
    ]


def test_the_noise_of_a_class_is_told_with_its_pairs_and_campaigns() -> None:
    campaign = repeated()
    (of_class,) = get(f"campaigns/{campaign.pk}/classes")
    unknown = get(f"classes/{of_class['id']}/noise")
    assert (unknown["sd"], unknown["pairs"], unknown["as_of"]) == (None, 0, None)
    assert run("noise", campaign.pk).splitlines()[1].startswith("No arm has results on two")
    jobs.keep_noise_floors()
    noise = get(f"classes/{of_class['id']}/noise")
    assert noise["result_class"]["words"] == of_class["words"]
    assert (noise["pairs"], noise["campaigns"]) == (4, 1)
    assert noise["sd"] > 0
    assert json.loads(run("noise", campaign.pk, "--json")) == noise
    lines = run("noise", campaign.pk, "--class", of_class["id"]).splitlines()
    assert lines[1].endswith("(s.d.): 4 replicate pairs, campaigns: 1.")


def test_classes_that_are_not_there_are_not_found() -> None:
    campaign = factories.active_campaign(1)
    assert get(f"campaigns/{campaign.pk}/classes") == []
    for path in ("campaigns/999/classes", "classes/999/noise", f"classes/{10**30}/noise"):
        assert APIClient().get(f"{API}/{path}").status_code == 404
    with pytest.raises(CommandError, match="no measured result yet"):
        run("noise", campaign.pk)
    factories.run(3.0)
    with pytest.raises(CommandError, match=r"no results in class 999, only in: \d+\."):
        run("noise", campaign.pk, "--class", 999)


def test_results_say_their_class_and_speed_and_can_be_found_by_them() -> None:
    campaign = factories.active_campaign(2)
    factories.run(3.0, seconds=1)
    factories.run(3.1, seconds=2, device_used="cuda")
    slow = Result.objects.get(value=3.1)
    Result.objects.filter(pk=slow.pk).update(expected_step_seconds=0.03, disturbed=True)
    url = f"campaigns/{campaign.pk}/results"
    (row,) = get(f"{url}?disturbed=true")["results"]
    assert (row["result_class_id"], row["disturbed"]) == (slow.result_class_id, True)
    assert (row["step_seconds"], row["expected_step_seconds"], row["foreign_load"]) == (
        0.075,
        0.03,
        None,
    )
    assert get(f"{url}?result_class={slow.result_class_id}")["results"] == [row]
    assert get(f"{url}?disturbed=false")["results"] == []
    csv = APIClient().get(f"{API}/{url}.csv").getvalue().decode().splitlines()
    columns = dict(zip(csv[0].split(","), csv[2].split(","), strict=False))
    assert (columns["disturbed"], columns["step_seconds"]) == ("True", "0.075")
    assert columns["class"] == str(slow.result_class_id)
    page = APIClient().get(slow.task.get_absolute_url()).content.decode()
    assert "disturbed: steps took 2.5x as long as expected" in page
    assert "10 s, cuda, bfloat16, runner" in page
    assert Campaign.objects.count() == 1
