"""The analysis tab: its page, each panel as fragment and as page, and its data as CSV."""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
import re
from typing import Any

import pytest
from django.core.cache import cache
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from pytest_django import DjangoAssertNumQueries

from campaigns import jobs, lifecycle
from campaigns.clock import database_now
from campaigns.models import Campaign, ImportanceEstimate
from campaigns.panels import PANELS
from tests import factories
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db

FRAGMENT = {"HX-Request": "true"}
HOSTILE = '<script>alert(1)</script> {{ 7*7 }} <b>x</b> \u202egnp.exe \' onload="x" </script>'


def campaign_with(results: int, **fields: Any) -> Campaign:
    """A campaign with this many results whose val_bpb depends on lr."""
    campaign = factories.active_campaign(results + 3, **fields)
    worker = factories.worker("lab-1")
    for number in range(results):
        attempt = factories.claim_one(worker, now=factories.at(number))
        value = 3 + abs(math.log10(float(attempt.task.params.get("lr", 1e-3)) / 2e-3))
        factories.finish(attempt, value, now=factories.at(number + 1), steps_completed=100 + number)
    campaign.refresh_from_db()
    return campaign


def panel_path(campaign: Campaign, key: str) -> str:
    return reverse("campaign-analysis-panel", args=[campaign.pk, key])


def fragment(client: Client, campaign: Campaign, key: str, **query: Any) -> str:
    response = client.get(panel_path(campaign, key), query, headers=FRAGMENT)
    assert response.status_code == 200
    return response.text


def title(page: str) -> str:
    match = re.search(r"<h2[^>]*>(.*?)</h2>", page)
    assert match
    return match[1]


def figures(page: str) -> list[dict[str, Any]]:
    scripts = re.findall(r'type="application/json">(.*?)</script>', page)
    return [json.loads(script) for script in scripts]


def rows_of(client: Client, campaign: Campaign, key: str, **query: Any) -> list[list[str]]:
    response = client.get(reverse("campaign-analysis-csv", args=[campaign.pk, key]), query)
    assert response["Content-Type"].startswith("text/csv")
    return list(csv.reader(response.getvalue().decode().splitlines()))


def test_the_tab_has_a_place_for_each_panel_and_computes_none(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    campaign = campaign_with(4)
    with django_assert_max_num_queries(6):
        page = client.get(reverse("campaign-analysis", args=[campaign.pk])).text
    assert re.findall(r'id="panel-(\w+)" aria', page) == list(PANELS)
    assert page.count('hx-trigger="revealed"') == len(PANELS)
    assert figures(page) == []


def test_a_panel_is_computed_once_and_then_kept(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    campaign = campaign_with(6)
    for key in PANELS:
        cache.clear()
        with django_assert_max_num_queries(7, info=key):
            first = fragment(client, campaign, key)
        with django_assert_max_num_queries(2, info=key):
            assert fragment(client, campaign, key) == first, key
        assert "<html" not in first
        assert title(first)


def test_a_new_result_changes_the_panel(client: Client) -> None:
    campaign = campaign_with(6)
    assert len(rows_of(client, campaign, "slice")) == 7
    factories.finish(factories.claim_one(factories.worker(), now=factories.at(50)), 2.0)
    assert len(rows_of(client, campaign, "slice")) == 8


def test_importance_says_which_parameter_matters(client: Client) -> None:
    campaign = campaign_with(40)
    jobs.compute_importance(campaign.pk, "")
    page = fragment(client, campaign, "importance")
    assert title(page) == "lr matters most for a low val_bpb: " + title(page).split(": ")[1]
    line, chance, dots = figures(page)[0]["data"]
    assert dots["y"] == ["d_model", "lr"]
    assert dots["x"][1] > chance["x"][1]
    assert line["x"][2] is None


def test_importance_is_computed_by_a_job_and_never_by_the_page(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = campaign_with(24)
    with monkeypatch.context() as patch:
        patch.setattr("campaigns.analysis.estimates.importance", None)
        page = fragment(client, campaign, "importance")
    assert title(page) == "Importance is being computed"
    assert 'hx-trigger="every 3s"' in page
    assert figures(page) == []
    ImportanceEstimate.objects.update(asked_at=database_now() - dt.timedelta(seconds=45))
    page = fragment(client, campaign, "importance")
    assert re.search(r"Asked for [^<]+ ago and not computed yet", page)
    jobs.compute_importance(campaign.pk, "")
    page = fragment(client, campaign, "importance")
    assert "every 3s" not in page
    assert re.search(r"Computed \d+ s ago by a background job\.", page)
    Campaign.objects.filter(pk=campaign.pk).update(revision=F("revision") + 1)
    page = fragment(client, campaign, "importance")
    assert "Newer results came in since; it is being computed anew." in page
    assert len(figures(page)) == 1


def test_importance_waits_for_enough_results(client: Client) -> None:
    page = fragment(client, campaign_with(7), "importance")
    assert title(page) == "Too few results for importance: 7 of at least 20, one of each arm"
    assert figures(page) == []


def test_a_thin_level_is_warned_of(client: Client) -> None:
    campaign = factories.active_campaign(24)
    worker = factories.worker()
    for number in range(24):
        attempt = factories.claim_one(worker)
        if attempt.task.params["d_model"] == 256 and number > 3:
            factories.fail(attempt)
        else:
            factories.finish(attempt, 3 + number / 100)
    for number in range(10):
        params = {"lr": 0.001 + number / 10_000, "d_model": 64}
        lifecycle.enqueue(campaign, params, now=factories.NOW)
    while attempts := lifecycle.claim(
        worker, claim_id=factories.uuid.uuid4(), count=1, now=factories.at(9999)
    ).attempts:
        if attempts[0].task.params["d_model"] == 256:
            factories.fail(attempts[0], now=factories.at(9999))
        else:
            factories.finish(attempts[0], 3.3, now=factories.at(9999))
    jobs.compute_importance(campaign.pk, "")
    campaign.refresh_from_db()
    assert "d_model has levels with fewer than 3 runs: 256" in fragment(
        client, campaign, "importance"
    )


def test_effects_are_drawn_for_each_parameter_the_strongest_first(client: Client) -> None:
    page = fragment(client, campaign_with(24), "effects")
    assert re.match(r"lr alone accounts for \d+% of the spread", title(page))
    first, second = figures(page)
    assert first["layout"]["xaxis"]["type"] == "log"
    assert second["layout"]["xaxis"]["ticktext"] == ["64", "128", "256"]
    assert first["layout"]["yaxis"]["range"] == second["layout"]["yaxis"]["range"]


def test_one_parameter_and_two_are_chosen_by_the_address_line(client: Client) -> None:
    campaign = campaign_with(8)
    page = fragment(client, campaign, "slice", x="d_model")
    assert title(page).startswith("d_model: lowest median")
    assert "<option selected>d_model</option>" in page
    page = fragment(client, campaign, "contour", x="d_model", y="lr")
    assert figures(page)[0]["layout"]["yaxis"]["title"]["text"] == "lr"
    # A name that is not a parameter is ignored.
    assert "lowest median" in title(fragment(client, campaign, "slice", x="password"))
    assert "near" in title(fragment(client, campaign, "contour", x="lr", y="lr"))


def test_two_ranges_make_a_contour_with_nothing_where_no_runs_are(client: Client) -> None:
    space = {
        "parameters": [
            {"name": "lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            {"name": "dropout", "type": "float", "low": 0, "high": 1},
        ],
        "constraints": [],
    }
    page = fragment(client, campaign_with(12, search_space=space), "contour")
    field, dots = figures(page)[0]["data"]
    assert field["type"] == "contour"
    assert len(field["z"]) == len(field["y"]) == 25
    assert len(dots["x"]) == 12


def test_parallel_coordinates_have_an_axis_per_parameter_and_the_value(client: Client) -> None:
    trace = figures(fragment(client, campaign_with(5), "parallel"))[0]["data"][0]
    assert [axis["label"] for axis in trace["dimensions"]] == ["lr", "d_model", "val_bpb"]
    values = trace["dimensions"][2]["values"]
    # The best is drawn last, above the others.
    assert values == sorted(values, reverse=True)
    assert trace["dimensions"][0]["ticktext"] == ["0.0001", "0.001", "0.01"]


def test_the_distribution_says_where_half_of_the_runs_are(client: Client) -> None:
    campaign = factories.active_campaign(4)
    worker = factories.worker()
    for value in (2.1, 2.2, 2.3, 2.4):
        factories.finish(factories.claim_one(worker), value)
    campaign.refresh_from_db()
    page = fragment(client, campaign, "distribution")
    assert title(page) == "Half of the runs are at or below 2.200, a tenth at or below 2.100"
    assert figures(page)[0]["data"][0]["y"] == [0.25, 0.5, 0.75, 1.0]


def test_devices_are_told_apart_and_can_be_looked_at_alone(client: Client) -> None:
    campaign = campaign_with(4)
    attempt = factories.claim_one(factories.worker(), now=factories.at(99))
    factories.finish(attempt, 2.0, now=factories.at(99), device_used="cuda")
    page = client.get(reverse("campaign-analysis", args=[campaign.pk]), {"device": "cuda"}).text
    assert "<option selected>cuda</option>" in page
    assert panel_path(campaign, "slice") + "?device=cuda" in page
    assert len(rows_of(client, campaign, "cost", device="cpu")) == 5
    assert len(figures(fragment(client, campaign, "distribution"))[0]["data"]) == 2
    # An unknown device is no filter.
    assert len(rows_of(client, campaign, "cost", device="\0abacus")) == 6


def test_repeats_show_the_noise_between_seeds(client: Client) -> None:
    campaign = campaign_with(3)
    assert "run it again with a new seed" in fragment(client, campaign, "seeds")
    task = campaign.tasks.get(number=0)
    lifecycle.enqueue(campaign, task.params, seed=901, now=factories.at(60))
    worker = factories.worker()
    while campaign.tasks.filter(state="pending").exists():
        factories.finish(factories.claim_one(worker, now=factories.at(70)), 3.1)
    campaign.refresh_from_db()
    page = fragment(client, campaign, "seeds")
    assert re.match(r"Between seeds, val_bpb varies by ± 0\.\d{4} \(s\.d\.\)", title(page))
    head, row = rows_of(client, campaign, "seeds")
    assert head == ["config", "lr", "d_model", "mean val_bpb", "standard deviation", "seeds"]
    assert row[-1] == "2"


def test_cost_tells_what_goes_with_the_value(client: Client) -> None:
    campaign = factories.active_campaign(8)
    worker = factories.worker()
    for steps in (10, 100, 1000, 5000, 10_000, 15_000, 20_000, 25_000):
        factories.finish(factories.claim_one(worker), 4 - steps / 1e4, steps_completed=steps)
    campaign.refresh_from_db()
    page = fragment(client, campaign, "cost")
    assert title(page) == "More steps go with a lower val_bpb (rank correlation -1.00)"
    assert "Model parameters · the same in all runs" in page
    assert figures(page)[0]["layout"]["xaxis"]["type"] == "log"


def test_the_timeline_and_the_failures_show_attempts(client: Client) -> None:
    campaign = campaign_with(3, max_failed_attempts=1)
    factories.fail(factories.claim_one(factories.worker(), now=factories.at(20)))
    campaign.refresh_from_db()
    page = fragment(client, campaign, "timeline")
    assert title(page).startswith("2 workers, busy")
    completed, failed = figures(page)[0]["data"]
    assert completed["x"] == [1000, 1000, 1000]
    assert completed["base"][1] == "2026-01-05 12:00:01.0"
    assert failed["marker"]["color"] == "var(--failed)"
    assert failed["customdata"][0] == [3, 1, "0 s", "script error"]
    assert completed["y"] == ["lab-1"] * 3
    page = fragment(client, campaign, "failures")
    assert title(page) == "25% of attempts brought no ranked result; mostly failed: script error"


def test_the_timeline_draws_the_latest_attempts_and_its_csv_has_all(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.analysis.attempts.MAX_ATTEMPTS", 2)
    campaign = campaign_with(5)
    page = fragment(client, campaign, "timeline")
    assert len(figures(page)[0]["data"][0]["x"]) == 2
    assert "The latest 2 of 5 attempts; the CSV has all of them." in page
    heads, *rows = rows_of(client, campaign, "timeline")
    assert heads[:3] == ["worker", "task", "attempt"]
    assert [row[1] for row in rows] == ["0", "1", "2", "3", "4"]


def test_a_chart_of_many_runs_is_thinned_and_says_so(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.panels.base.MAX_POINTS", 4)
    campaign = campaign_with(9)
    page = fragment(client, campaign, "slice")
    assert len(figures(page)[0]["data"][0]["x"]) == 4
    assert "A sample: 4 of 9 results are drawn." in page


def test_a_panel_opens_alone_without_javascript(client: Client) -> None:
    campaign = campaign_with(4)
    response = client.get(panel_path(campaign, "effects"))
    assert "<html" in response.text
    assert "All of the analysis" in response.text
    assert len(figures(response.text)) == 2
    assert "HX-Request" in response["Vary"]


def test_the_data_stand_in_a_table_under_the_chart(client: Client) -> None:
    page = fragment(client, campaign_with(4), "slice", x="lr")
    assert page.count("<tr>") == 5
    assert '<th class="number">val_bpb</th>' in page


def test_an_empty_campaign_says_what_will_appear(client: Client) -> None:
    draft = factories.campaign()
    page = client.get(reverse("campaign-analysis", args=[draft.pk])).text
    assert "this campaign was never launched" in page
    waiting = factories.active_campaign()
    page = client.get(reverse("campaign-analysis", args=[waiting.pk])).text
    assert "No measured result yet." in page
    assert re.findall(r'id="panel-(\w+)" aria', page) == ["timeline", "failures"]
    for key in PANELS:
        assert 'class="chart-empty"' in fragment(client, waiting, key)
        # The heading line alone.
        assert len(rows_of(client, waiting, key)) == 1


def test_a_space_of_one_point_has_nothing_to_compare(client: Client) -> None:
    space = {
        "parameters": [{"name": "width", "type": "choice", "values": [64]}],
        "constraints": [],
    }
    campaign = campaign_with(4, search_space=space)
    for key in ("importance", "effects", "slice", "contour", "parallel"):
        assert "No parameter varies" in fragment(client, campaign, key)
    assert figures(fragment(client, campaign, "cost"))


def test_hostile_text_is_shown_verbatim_and_reaches_charts_escaped(client: Client) -> None:
    space = {
        "parameters": [
            {"name": "schedule", "type": "choice", "values": [HOSTILE, "=1+1"]},
            *factories.SMALL_SPACE["parameters"],
        ],
        "constraints": [],
    }
    campaign = factories.active_campaign(12, name=HOSTILE, search_space=space)
    worker = factories.worker(HOSTILE[:100])
    for number in range(12):
        attempt = factories.claim_one(worker)
        factories.finish(attempt, 3 + number / 10, device_used=HOSTILE[: 90 + number % 2])
    campaign.refresh_from_db()
    page = client.get(reverse("campaign-analysis", args=[campaign.pk])).text
    assert escape(HOSTILE) in page
    for key in PANELS:
        page = fragment(client, campaign, key, x="schedule")
        assert "<script>alert" not in page
        assert "\\u003Cscript" not in page, "a chart would read the tag"
        assert 'onload="x"' not in page
    assert escape(HOSTILE) in fragment(client, campaign, "slice", x="schedule")
    cells = {row[2] for row in rows_of(client, campaign, "slice", x="schedule")[1:]}
    # The quote keeps a spreadsheet from running the formula.
    assert cells == {HOSTILE, "'=1+1"}


@pytest.mark.parametrize("role", [None, roles.VIEWER, roles.RESEARCHER, roles.OPERATOR])
def test_everybody_who_may_read_sees_the_analysis(client: Client, role: str | None) -> None:
    campaign = campaign_with(3)
    if role:
        client.force_login(factories.user(role=role))
    assert client.get(reverse("campaign-analysis", args=[campaign.pk])).status_code == 200
    assert title(fragment(client, campaign, "failures")) == "Nothing went wrong"


def test_a_closed_installation_shows_it_to_nobody_else(client: Client, settings: Any) -> None:
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}
    campaign = factories.active_campaign()
    for path in (
        reverse("campaign-analysis", args=[campaign.pk]),
        panel_path(campaign, "effects"),
        reverse("campaign-analysis-csv", args=[campaign.pk, "effects"]),
    ):
        assert client.get(path)["Location"].startswith(reverse("login"))


def test_there_is_no_panel_of_another_name(client: Client) -> None:
    campaign = factories.active_campaign()
    path = reverse("campaign-analysis", args=[campaign.pk])
    assert client.get(f"{path}nonsense/").status_code == 404
    assert client.get("/campaigns/12345/analysis/").status_code == 404
