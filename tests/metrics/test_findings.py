"""What a campaign of a maximised metric is said to have found: its panels and comparisons."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.analysis.estimates import importance_now
from campaigns.clock import database_now
from campaigns.models import Campaign, ImportanceEstimate
from campaigns.panels import Subject, panel
from tests import factories, second_metric
from tests.second_metric import EXPERIMENT

pytestmark = pytest.mark.django_db


def faster_with_lr(results: int) -> Campaign:
    """A campaign in which a high lr makes runs fast."""
    launched = factories.active_campaign(results, experiment=EXPERIMENT)
    worker = factories.worker("lab-1")
    for number in range(results):
        attempt = factories.claim_one(worker, now=factories.at(number))
        speed = round(1000 + 1e5 * float(attempt.task.params["lr"]), 2)
        body = second_metric.completed(attempt.task, speed, steps_completed=100 + number)
        lifecycle.submit(attempt.worker, attempt.lease_id, body, now=factories.at(number + 8))
    launched.refresh_from_db()
    return launched


def test_the_analysis_finds_what_makes_values_high() -> None:
    launched = faster_with_lr(25)
    values = sorted(launched.results.values_list("value", flat=True))
    subject = Subject(launched, database_now(), x="lr", y="d_model")

    distribution = panel("distribution", subject)
    assert re.match(r"Half of the runs are at or above \d+, a tenth at", distribution.title)
    tenth = f"{values[-1 - (len(values) - 1) // 10]:.0f}"
    assert distribution.title.endswith(f"a tenth at or above {tenth}")
    assert distribution.heads == ["device", "tokens_per_second", "share of runs"]
    assert distribution.rows[0][1:] == [values[-1], 1 / 25]

    one = panel("slice", subject)
    assert one.title.startswith("lr: highest median, ")
    assert [row[-2] for row in one.rows] == values[::-1]
    # The last bin of the range, in which lr is largest.
    assert "at 0.00562 – 0.01" in one.title

    both = panel("contour", subject)
    assert both.title.startswith("Highest mean tokens_per_second, ")
    means = [row[2] for row in both.rows]
    assert means == sorted(means, reverse=True)
    assert both.charts[0].figure["data"][0]["reversescale"] is True

    every = panel("parallel", subject)
    assert every.title.endswith(f"the highest value is {values[-1]:.1f}")
    line = every.charts[0].figure["data"][0]
    # The best is drawn last, and coloured as the best.
    assert line["dimensions"][-1]["label"] == "tokens_per_second"
    assert line["dimensions"][-1]["values"][-1] == pytest.approx(values[-1], rel=1e-5)
    assert line["line"]["reversescale"] is True

    assert "spread of tokens_per_second" in panel("effects", subject).title
    assert "tokens_per_second" in panel("cost", subject).title


def test_what_matters_is_what_the_highest_values_have_in_common() -> None:
    launched = faster_with_lr(40)
    importance_now(launched)
    assert ImportanceEstimate.objects.count() == 1
    title = panel("importance", Subject(launched, database_now())).title
    assert title.startswith("lr matters most for a high tokens_per_second")


def test_repeated_configs_come_with_the_highest_mean_first() -> None:
    launched = factories.active_campaign(2, experiment=EXPERIMENT)
    for task in launched.tasks.order_by("number"):
        lifecycle.enqueue(launched, task.params, seed=900 + task.number, now=factories.NOW)
    for second in range(1, 5):
        attempt = factories.claim_one(factories.worker(), now=factories.at(second))
        speed = 100.0 * (1 + attempt.task.seed % 2) + attempt.task.number
        body = second_metric.completed(attempt.task, speed)
        lifecycle.submit(attempt.worker, attempt.lease_id, body, now=factories.at(second + 8))
    launched.refresh_from_db()
    rows = panel("seeds", Subject(launched, database_now())).rows
    assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)


def test_a_comparison_tells_the_distance_from_the_highest(
    client: Client, campaign: Campaign
) -> None:
    slow, fast = (campaign.results.get(value=value).task.name for value in (400.0, 640.0))
    reply = APIClient().get("/api/v1/compare", {"tasks": f"{slow},{fast}"}).json()
    assert reply["verdict"].startswith("Cannot be told: no shared seeds of A and B")
    columns = [(column["value"], column["behind"]) for column in reply["columns"]]
    assert columns == [(400.0, 240.0), (640.0, 0.0)]
    assert {column["val_bpb"] for column in reply["columns"]} == {None}
    page = client.get(reverse("compare"), {"tasks": f"{slow},{fast}"}).text
    assert "-240.0" in page
    assert "tokens/s" in page


def test_values_of_different_metrics_are_not_compared(client: Client, campaign: Campaign) -> None:
    lifecycle.cancel(campaign, now=timezone.now())
    other = factories.active_campaign(1)
    factories.run(3.25)
    pks = f"{campaign.pk},{other.pk}"
    reply = APIClient().get("/api/v1/compare", {"campaigns": pks}).json()
    assert reply["verdict"] == ""
    assert "metric" in reply["warnings"][0]
    assert [column["behind"] for column in reply["columns"]] == [None, None]
    assert [column["val_bpb"] for column in reply["columns"]] == [None, 3.25]
    page = client.get(reverse("compare"), {"campaigns": pks}).text
    assert "Values of different metrics have no axis in common." in page
    assert "640.0 tokens/s" in page
    assert "3.2500 bits/byte" in page
    file: Any = client.get(reverse("compare-csv"), {"campaigns": pks})
    assert file.getvalue().decode().startswith("letter,name,results,value\r\n")
