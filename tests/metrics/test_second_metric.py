"""A campaign ranked by a metric of which more is better, from its launch to its files.

Everything that took lower for better, or val_bpb for the only metric, would show here.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.exports import optuna_study
from campaigns.models import Attempt, Campaign, Result, Webhook, WebhookDelivery
from campaigns.standings import contributions
from experiments import catalog
from tests import factories, second_metric
from tests.clients import agent_client
from tests.pages.charts import hero_data
from tests.second_metric import EXPERIMENT, SPEEDS, TOKENS_PER_SECOND

pytestmark = pytest.mark.django_db

BEST_FIRST = sorted(SPEEDS, reverse=True)


def get(campaign: Campaign, path: str = "", **query: Any) -> Any:
    answer = APIClient().get(f"/api/v1/campaigns/{campaign.pk}{path}", query)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_a_launch_pins_the_metric_and_a_draft_follows_the_catalog(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = factories.campaign(experiment=EXPERIMENT)
    newer = dataclasses.replace(TOKENS_PER_SECOND, version=4, unit="kilotokens/s")
    changed = dataclasses.replace(catalog.get(EXPERIMENT), metric_spec=newer)
    monkeypatch.setitem(catalog._EXPERIMENTS, EXPERIMENT, changed)

    assert (campaign.metric, campaign.metric_version) == ("tokens_per_second", 3)
    assert campaign.metric_spec is TOKENS_PER_SECOND
    assert draft.metric == ""
    assert draft.metric_spec is newer
    # An experiment may have been taken out of the catalog since the draft was made.
    Campaign.objects.filter(pk=draft.pk).update(experiment="gone")
    assert Campaign.objects.get(pk=draft.pk).metric_spec.name == "val_bpb"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokens_per_second": 500.0}, "does not follow from its counters (400.000000)"),
        ({"tokens_per_second": -400.0}, "must be a finite number above 0"),
        ({"tokens_per_second": None}, "must be a finite number above 0"),
        ({"eval_bytes": 7}, "eval_bytes is 7, must be"),
        ({"steps_completed": 0}, "steps_completed is 0 in a run with a tokens_per_second"),
    ],
    ids=str,
)
def test_a_line_is_refused_by_the_rules_of_its_metric(changes: dict[str, Any], reason: str) -> None:
    client, worker = agent_client()
    attempt = factories.leased_task(worker, now=timezone.now(), experiment=EXPERIMENT)
    body = second_metric.completed(attempt.task, 400.0, **changes)

    answer = client.put(f"/api/v1/leases/{attempt.lease_id}/result", body)

    assert answer.status_code == 422
    assert reason in answer.json()["message"]


def test_its_val_bpb_beside_the_value_is_neither_checked_nor_bounded() -> None:
    # Far below what lzma reaches on the data set: implausible, if it were the metric.
    attempt = factories.leased_task(experiment=EXPERIMENT)
    body = second_metric.completed(attempt.task, 0.5, val_bpb=0.001, train_seconds=7.0)
    lifecycle.submit(attempt.worker, attempt.lease_id, body, now=factories.NOW)
    result = Result.objects.get()
    assert (result.value, result.sort_key) == (0.5, -0.5)
    assert (result.is_ranked, result.implausible) == (True, False)
    assert lifecycle.judge_again(attempt.task.campaign.dataset) == 0


def test_the_api_puts_the_highest_first_and_names_the_metric(campaign: Campaign) -> None:
    board = get(campaign, "/leaderboard")
    assert [row["value"] for row in board["rows"]] == BEST_FIRST
    assert (board["metric"], board["direction"]) == ("tokens_per_second", "maximize")
    detail = get(campaign)
    assert (detail["metric"], detail["direction"]) == ("tokens_per_second", "maximize")
    assert (detail["unit"], detail["best_value"]) == ("tokens/s", 640.0)
    assert detail["best_val_bpb"] is None
    results = get(campaign, "/results", min_value="500")["results"]
    assert [result["value"] for result in results] == [512.25, 640.0]
    assert get(campaign, "/results", max_value="300.5")["results"][0]["value"] == 300.5
    assert get(campaign, "/results", max_val_bpb="9999")["results"] == []
    (best,) = APIClient().get("/api/v1/overview").json()["champions"]
    assert (best["metric"], best["value"], best["val_bpb"]) == ("tokens_per_second", 640.0, None)
    tasks = get(campaign, "/tasks", sort="-value")["results"]
    assert [task["value"] for task in tasks] == [*BEST_FIRST, None]
    assert {task["val_bpb"] for task in tasks} == {None}


def test_the_page_shows_the_best_first_with_its_unit(client: Client, campaign: Campaign) -> None:
    page = client.get(campaign.get_absolute_url()).text
    assert "<dt>Highest tokens_per_second of a first seed</dt>" in page
    assert 'class="value">640.0 <span class="unit">tokens/s</span>' in page
    assert "Highest single run so far: 640.0 tokens/s, task 2, of 4 ended tasks." in page
    runs = reverse("campaign-runs", args=[campaign.pk])
    page += (listed := client.get(runs).text)
    cells = re.findall(r'id="row-\d+"[^>]*>([\d.]+)</a>', listed)
    assert cells == ["640.0", "512.2", "400.0", "300.5"]
    by_value = client.get(runs, {"sort": "value"}).text
    assert re.findall(r'id="row-\d+"[^>]*>([\d.]+)</a>', by_value) == cells[::-1]
    assert "Lower val_bpb is better. Higher tokens_per_second is better." in page
    assert "bits/byte" not in page


def test_the_best_so_far_only_rises(client: Client, campaign: Campaign) -> None:
    data = hero_data(client.get(campaign.get_absolute_url()).text)
    assert (data["maximised"], data["extreme"], data["unit"]) == (True, "highest", "tokens/s")
    # In the last decimal of the metric.
    assert data["points"]["value"] == [4000, 3005, 6400, 5122]
    # Only the third was better than all before it.
    assert list(data["changes"]) == ["2"]
    # The n-gram values of the data set are bits per byte.
    assert data["anchors"] == []


def test_every_page_writes_its_values_with_its_unit(client: Client, campaign: Campaign) -> None:
    best = campaign.results.ranked()[0]
    client.force_login(factories.user("root", is_staff=True, is_superuser=True))
    pages = (
        best.task.get_absolute_url(),
        reverse("campaign-tasks", args=[campaign.pk]),
        reverse("campaign-workers", args=[campaign.pk]),
        reverse("worker", args=[best.attempt.worker_id]),
        reverse("overview"),
        reverse("campaigns"),
    )
    for path in pages:
        text = client.get(path).text
        assert "640.0" in text, path
        assert "tokens/s" in text, path
        assert "bits/byte" not in text, path
    for path in ("admin:campaigns_result_changelist", "admin:campaigns_campaign_changelist"):
        assert "640.0 tokens_per_second" in client.get(reverse(path)).text


def test_lists_of_both_metrics_have_the_unit_in_each_cell(
    client: Client, campaign: Campaign
) -> None:
    factories.active_campaign(1)
    lifecycle.cancel(campaign, now=timezone.now())
    factories.run(3.25)
    for path in (reverse("campaigns"), reverse("overview")):
        page = client.get(path).text
        assert '3.2500 <span class="unit">bits/byte</span>' in page
        assert '640.0 <span class="unit">tokens/s</span>' in page


def test_the_files_name_the_column_after_the_metric(campaign: Campaign, tmp_path: Path) -> None:
    answer: Any = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/results.csv")
    rows = list(csv.DictReader(StringIO(answer.getvalue().decode())))
    assert [float(row["tokens_per_second"]) for row in rows] == list(SPEEDS)
    assert "val_bpb" not in rows[0]
    answer = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/results.jsonl")
    lines = [json.loads(line) for line in answer.getvalue().decode().splitlines()]
    assert [line["tokens_per_second"] for line in lines] == list(SPEEDS)

    optuna_study.write_study(campaign, tmp_path / "study.db")
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["tokens_per_second"]
    assert (study.best_value, study.best_trial.user_attrs["task_number"]) == (640.0, 2)


def test_the_file_of_a_worker_keeps_val_bpb_empty(client: Client, campaign: Campaign) -> None:
    attempt = campaign.results.ranked()[0].attempt
    answer: Any = client.get(reverse("worker-csv", args=[attempt.worker_id]))
    rows = csv.DictReader(StringIO(answer.getvalue().decode()))
    row = next(row for row in rows if row["value"] == "640.0")
    assert (row["val_bpb"], row["metric"]) == ("", "tokens_per_second")


def test_webhooks_are_told_of_each_rise() -> None:
    Webhook.objects.create(
        url="https://example.org/hook",
        secret="xs_test",
        events=["new_best", "campaign_finished"],
        owner=factories.user(),
        created_at=factories.NOW,
    )
    factories.active_campaign(3, experiment=EXPERIMENT, name="speed study")
    for second, speed in enumerate((400.0, 300.5, 640.0), start=1):
        attempt = factories.claim_one(factories.runner(), now=factories.at(second))
        body = second_metric.completed(attempt.task, speed)
        now = factories.at(second + 8)
        lifecycle.submit(attempt.worker, attempt.lease_id, body, now=now)

    deliveries = WebhookDelivery.objects.order_by("pk")
    assert [delivery.payload["text"] for delivery in deliveries] == [
        "speed study: task 0 leads after one seed, with tokens_per_second 400.0 on cpu.",
        (
            "speed study has finished: 3 of 3 tasks completed. Nothing has raced: each of the 3 "
            "arms with a value has it from its first seed, which proves nothing."
        ),
        (
            "speed study: task 2 leads after one seed, with tokens_per_second 640.0 "
            "(before: 400.0) on cpu."
        ),
    ]
    result = deliveries[2].payload["result"]
    assert (result["metric"], result["value"]) == ("tokens_per_second", 640.0)
    assert (result["tokens_per_second"], "val_bpb" in result) == (640.0, False)


def test_each_workers_best_is_its_highest(campaign: Campaign) -> None:
    (row,) = contributions.of_workers(campaign, now=timezone.now())
    assert row.best == 640.0
    other = factories.worker()
    highest = [result.attempt_id for result in campaign.results.ranked()[:2]]
    Attempt.objects.filter(pk__in=highest).update(worker=other)
    lifecycle.cancel(campaign, now=timezone.now())  # a new revision: nothing is cached
    campaign.refresh_from_db()
    best = {row.worker: row.best for row in contributions.of_workers(campaign, now=timezone.now())}
    assert best == {row.worker: 400.0, other: 640.0}


def test_the_commands_say_which_is_better(campaign: Campaign) -> None:
    def printed(*arguments: str) -> str:
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    table = printed("leaderboard", str(campaign.pk))
    assert "speed study: tokens_per_second in tokens/s, higher is better" in table
    assert table.index("640.0") < table.index("512.2") < table.index("300.5")
    assert "highest tokens_per_second of a first seed 640.0" in table
    rows = json.loads(printed("leaderboard", str(campaign.pk), "--json"))["rows"]
    assert [row["value"] for row in rows] == BEST_FIRST
    assert "speed study: tokens_per_second 640.0 (one seed: unknown; task" in printed("overview")
    (_, line) = printed("campaign", "list").splitlines()
    assert line.split()[-4:] == ["640.0", "tokens_per_second", "speed", "study"]


def test_a_progress_point_of_val_bpb_is_no_value_of_another_metric(campaign: Campaign) -> None:
    client, worker = agent_client()
    attempt = factories.claim_one(worker, now=timezone.now())
    points = [{"seq": n, "elapsed_seconds": n, "step": n, "val_bpb": 3.0} for n in range(3)]
    beat = {
        "boot_id": "2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d",
        "leases": [{"lease_id": str(attempt.lease_id), "progress": points}],
    }
    assert client.post("/api/v1/heartbeat", beat).status_code == 200
    assert [point.value for point in attempt.progress.all()] == [None] * 3
    reply = APIClient().get(f"/api/v1/tasks/{attempt.task_id}/progress").json()
    assert [(point["value"], point["val_bpb"]) for point in reply["results"]] == [(None, None)] * 3
