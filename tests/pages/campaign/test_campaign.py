"""The page of a campaign: verdict, figures, chart, board, runs, tasks, download and polling."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle
from campaigns.datasets import store_dataset
from campaigns.models import Campaign
from tests import factories
from workers.models import Worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db

FRAGMENT = {"HX-Request": "true"}


def page_of(client: Client, campaign: Campaign, **query: Any) -> str:
    return client.get(campaign.get_absolute_url(), query).text


def runs_of(client: Client, campaign: Campaign, **query: Any) -> str:
    return client.get(reverse("campaign-runs", args=[campaign.pk]), query).text


def run_all(campaign: Campaign, *values: float, by: Worker | None = None, **changes: Any) -> None:
    """Let a worker finish the campaign's next tasks with these values."""
    worker = by or factories.worker()
    for second, value in enumerate(values, start=1):
        attempt = factories.claim_one(worker, now=factories.at(second))
        factories.finish(attempt, value, now=factories.at(second), **changes)
    campaign.refresh_from_db()


def simulate(worker: Worker, val_bpb: float) -> None:
    attempt = factories.claim_one(worker)
    body = factories.completed(attempt.task, val_bpb)
    body["simulated"] = True
    lifecycle.submit(worker, attempt.lease_id, body, now=factories.NOW)


def ranked_values(page: str) -> list[str]:
    return re.findall(r'id="row-\d+"[^>]*>([\d.]+)</a>', page)


def test_a_draft_shows_what_would_run_and_what_it_costs(client: Client) -> None:
    owner = factories.user()
    campaign = factories.campaign(owner=owner, task_count=20)
    client.force_login(owner)
    page = page_of(client, campaign)
    assert "The first 5 of 20 configs" in page
    assert "20 tasks of 10 s, 3 m 20 s of worker time" in page
    assert "Launch campaign" in page
    assert "pause-button" not in page


def test_a_draft_says_when_each_worker_has_to_download_its_data_set(
    client: Client, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    assert "does not hold the data set" in page_of(client, factories.campaign())
    stored = store_dataset("excerpt", b"All happy families are alike. " * 100)
    held = factories.campaign(dataset=stored.sha256)
    assert "does not hold the data set" not in page_of(client, held)


def test_a_campaign_without_a_result_says_what_to_wait_for(client: Client) -> None:
    page = page_of(client, factories.active_campaign())
    assert "No task has ended yet. No worker has taken a task" in page
    assert "No measured result yet" in page


def test_the_mark_of_a_subset_is_explained_below_the_table_where_one_stands(
    client: Client,
) -> None:
    campaign = factories.active_campaign(2)
    run_all(campaign, 3.0)
    assert "subset-note" not in runs_of(client, campaign)
    nats = 2.0 * 16_384 * 0.6931471805599453
    run_all(campaign, 2.0, eval_bytes=16_384, eval_tokens=16_384, eval_nll_nats=nats)
    assert "* evaluated on a fixed subset" in runs_of(client, campaign)


def test_the_runs_come_in_the_order_of_their_values(client: Client) -> None:
    campaign = factories.active_campaign(3)
    run_all(campaign, 3.3, 3.1, 3.2)
    assert ranked_values(runs_of(client, campaign)) == ["3.1000", "3.2000", "3.3000"]


def test_the_runs_are_sorted_by_any_column_both_ways(client: Client) -> None:
    campaign = factories.active_campaign(3, shares_seeds=False)
    run_all(campaign, 3.3, 3.1, 3.2)
    # Seeds rise with the task's number, so they follow the order of the results.
    assert ranked_values(runs_of(client, campaign, sort="seed")) == ["3.3000", "3.1000", "3.2000"]
    assert ranked_values(runs_of(client, campaign, sort="-seed")) == ["3.2000", "3.1000", "3.3000"]
    by_lr = runs_of(client, campaign, sort="param.lr")
    lrs = [float(x) for x in re.findall(r'<td class="mono">(0\.\d+)</td>', by_lr)]
    assert len(lrs) == 3
    assert lrs == sorted(lrs)
    assert 'aria-sort="ascending"' in by_lr


def test_an_unknown_sort_is_the_order_of_values(client: Client) -> None:
    campaign = factories.active_campaign(2)
    run_all(campaign, 3.3, 3.1)
    page = runs_of(client, campaign, sort="password", device="\0")
    assert "3.1000" in page


def test_params_that_do_not_vary_stand_once_above_the_table(client: Client) -> None:
    space = {
        "parameters": [
            *factories.SMALL_SPACE["parameters"],
            {"name": "n_layers", "type": "choice", "values": [4]},
        ],
        "constraints": [],
    }
    campaign = factories.active_campaign(2, search_space=space)
    run_all(campaign, 3.1)
    page = page_of(client, campaign)
    assert page.count("<dt>n_layers</dt>") == 1
    assert "param.n_layers" not in page


def test_runs_of_several_devices_can_be_listed_apart(client: Client) -> None:
    campaign = factories.active_campaign(2)
    run_all(campaign, 3.3)
    run_all(campaign, 3.1, device_used="cuda")
    assert "a time budget compares only like hardware" in runs_of(client, campaign)
    assert ranked_values(runs_of(client, campaign, device="cpu")) == ["3.3000"]


def board_values(page: str) -> list[str]:
    return re.findall(r'<span class="mean">([\d.]+)', page)


def test_the_board_shows_the_class_with_most_results_and_says_so(client: Client) -> None:
    campaign = factories.active_campaign(3)
    run_all(campaign, 3.1, 3.3, 3.2)
    moved = campaign.results.filter(value=3.1)
    other = factories.in_another_class(moved, device_kind="cuda")
    page = page_of(client, campaign)
    assert board_values(page) == ["3.2000", "3.3000"]
    assert "Results of 2 classes stand in no common order</strong>. Shown is 10 s, cpu," in page
    assert f"not {other} (1). Nothing has raced" in page
    assert board_values(page_of(client, campaign, **{"class": str(other.pk)})) == ["3.1000"]
    everything = page_of(client, campaign, **{"class": "all"})
    assert board_values(everything) == ["3.1000", "3.2000", "3.3000"]
    assert "Values of different classes stand in no common order." in everything
    assert board_values(page_of(client, campaign, **{"class": "\0nonsense"})) == [
        "3.2000",
        "3.3000",
    ]


def test_ticked_arms_are_compared_by_their_first_tasks(client: Client) -> None:
    campaign = factories.active_campaign(3)
    run_all(campaign, 3.3, 3.1, 3.2)
    page = page_of(client, campaign)
    assert page.count('name="arms"') == 3
    assert "csrfmiddlewaretoken" not in page  # anonymous: nothing to send, no cookie
    query = {"campaign": str(campaign.pk), "arms": ["2", "0", "77"], "seeds": "12"}
    response = client.get(reverse("compare"), query)
    numbers = dict(campaign.tasks.values_list("arm__number", "number"))
    names = {arm: f"{campaign.pk}/{number}" for arm, number in numbers.items()}
    assert response["Location"] == f"{reverse('compare')}?tasks={names[2]},{names[0]}"
    for hostile in ({"arms": "x"}, {"arms": "9" * 30, "campaign": "1"}, {"arms": "1"}):
        assert client.get(reverse("compare"), hostile)["Location"].endswith("?tasks=")


def test_the_figures_tell_progress_failures_and_the_best(client: Client) -> None:
    campaign = factories.active_campaign(4, max_failed_attempts=1)
    worker = factories.worker("lab-1")
    run_all(campaign, 3.25, by=worker)
    factories.fail(factories.claim_one(worker), FailureClass.OOM)
    page = page_of(client, campaign)
    assert "3.2500" in page
    assert "Lowest val_bpb of a first seed" in page
    assert "arm 0</a><span> · 1 seed</span><span> · " in page
    assert "one seed: unknown" in page
    assert "1 × out of memory" in page
    assert "2 waiting</a>" in page


def test_simulated_results_are_badged_and_shown_only_on_request(client: Client) -> None:
    campaign = factories.active_campaign(2, allow_simulated=True)
    simulate(factories.worker(simulates=True), 1.2345)
    page = page_of(client, campaign)
    assert "SIMULATED" in page
    assert "1 result nobody measured is not on this board" in page
    assert "1.2345" not in page + runs_of(client, campaign)
    simulated_runs = runs_of(client, campaign, state="simulated")
    assert ranked_values(simulated_runs) == ["1.2345"]
    assert "SIMULATED" in simulated_runs


def test_the_runs_are_filtered_by_how_tasks_ended(client: Client) -> None:
    campaign = factories.active_campaign(3, max_failed_attempts=1)
    assert 'id="state-completed"' not in runs_of(client, campaign)
    factories.run(3.5, seconds=1)
    factories.run(None, seconds=2)
    factories.fail(
        factories.claim_one(factories.worker(), now=factories.at(3)),
        FailureClass.TIMEOUT,
        now=factories.at(3),
    )
    usual = runs_of(client, campaign)
    assert ranked_values(usual) == ["3.5000"]
    links = re.findall(r'id="state-(\w+)" href="([^"]*)"', usual)
    assert links == [
        ("completed", ""),
        ("diverged", "?state=diverged"),
        ("failed", "?state=failed"),
        ("all", "?state=all"),
    ]
    everything = runs_of(client, campaign, state="all")
    assert everything.count("row-link") == 3
    assert everything.index("3.5000</a>") < everything.index("diverged: the loss")
    failed = runs_of(client, campaign, state="failed")
    assert failed.count("row-link") == 1
    assert "failed: timeout" in failed
    assert ranked_values(runs_of(client, campaign, state="password")) == ["3.5000"]


def test_the_list_of_runs_says_how_many_rows_a_page_has(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaigns.views.runs.ROWS_PER_PAGE", 2)
    campaign = factories.active_campaign(3)
    run_all(campaign, 3.3, 3.1, 3.2)
    assert ranked_values(runs_of(client, campaign, page=2)) == ["3.3000"]
    assert "Rows 3 to 3 of 3, 2 on a page" in runs_of(client, campaign, page=2)


def test_the_offline_stand_in_is_named_as_such(client: Client) -> None:
    page = page_of(client, factories.active_campaign(dataset="english_like"))
    assert "the offline stand-in for TinyShakespeare" in page
    assert "stand-in" not in page_of(client, factories.active_campaign())


def test_it_refreshes_while_it_runs_and_stops_when_it_has_ended(client: Client) -> None:
    campaign = factories.active_campaign(1)
    assert 'data-live-seconds="3"' in page_of(client, campaign)
    run_all(campaign, 3.3)
    assert campaign.state == "completed"
    response = client.get(campaign.get_absolute_url(), headers=FRAGMENT)
    assert "data-live=" not in response.text
    assert "<html" not in response.text


def test_the_fragment_keeps_what_the_address_line_asks_for(client: Client) -> None:
    campaign = factories.active_campaign(2)
    run_all(campaign, 3.3)
    page = client.get(campaign.get_absolute_url() + "?sort=-seed&x=number", headers=FRAGMENT).text
    assert f'data-live-url="{campaign.get_absolute_url()}?sort=-seed&amp;x=number"' in page


def test_cancelling_says_what_will_be_lost(client: Client) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(3, owner=owner)
    factories.claim_one(factories.worker())
    client.force_login(owner)
    page = page_of(client, campaign)
    assert "1 running task will be stopped" in page
    assert "2 pending tasks will never run" in page


@pytest.mark.parametrize(
    ("verb", "words", "state"),
    [
        ("pause", "Paused. Running tasks may finish", "paused"),
        ("cancel", "Cancelled. Results that exist stay", "cancelled"),
    ],
)
def test_a_verb_changes_the_campaign_and_says_so(
    client: Client, verb: str, words: str, state: str
) -> None:
    owner = factories.user()
    campaign = factories.active_campaign(owner=owner)
    client.force_login(owner)
    path = reverse("campaign-change", args=[campaign.pk, verb])
    page = client.post(path, follow=True).text
    assert words in page
    campaign.refresh_from_db()
    assert campaign.state == state


def test_a_verb_that_came_too_late_says_why(client: Client) -> None:
    owner = factories.user()
    campaign = factories.campaign(owner=owner)
    client.force_login(owner)
    page = client.post(reverse("campaign-change", args=[campaign.pk, "pause"]), follow=True).text
    assert "The campaign is draft; only" in page


def test_a_paused_campaign_says_why_it_is_paused(client: Client) -> None:
    campaign = factories.active_campaign()
    lifecycle.pause(campaign, now=factories.NOW, reason="Half of the last 20 attempts failed.")
    assert "Half of the last 20 attempts failed." in page_of(client, campaign)


def test_its_queries_do_not_grow_with_the_results(
    client: Client, django_assert_max_num_queries
) -> None:
    campaign = factories.active_campaign(12)
    run_all(campaign, *[3 + n / 100 for n in range(12)])
    with django_assert_max_num_queries(11):
        page_of(client, campaign)


def test_the_tasks_are_listed_by_state(client: Client) -> None:
    campaign = factories.active_campaign(3, max_failed_attempts=1)
    worker = factories.worker()
    run_all(campaign, 3.25, by=worker)
    factories.fail(factories.claim_one(worker), FailureClass.TIMEOUT)
    path = reverse("campaign-tasks", args=[campaign.pk])
    everything = client.get(path).text
    assert everything.count("row-link") == 3
    failed = client.get(path, {"state": "failed"}).text
    assert failed.count("row-link") == 1
    assert "timeout" in failed


def test_the_queries_of_the_task_list_do_not_grow(
    client: Client, django_assert_max_num_queries
) -> None:
    campaign = factories.active_campaign(8)
    run_all(campaign, *[3 + n / 100 for n in range(6)])
    with django_assert_max_num_queries(4):
        client.get(reverse("campaign-tasks", args=[campaign.pk]))


def test_the_results_are_downloaded_as_csv_without_the_simulated_ones(client: Client) -> None:
    campaign = factories.active_campaign(2, allow_simulated=True)
    run_all(campaign, 3.3125)
    simulate(factories.worker(simulates=True), 1.2345)
    path = reverse("campaign-csv", args=[campaign.pk])
    assert path in page_of(client, campaign)
    response = client.get(path)
    assert response["Content-Type"].startswith("text/csv")
    text = response.getvalue().decode()
    assert "3.3125" in text
    assert "1.2345" not in text
    assert "1.2345" in client.get(path, {"simulated": 1}).getvalue().decode()
