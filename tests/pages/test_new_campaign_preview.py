"""The preview in the form of a new campaign: points, rejections, warnings and cost."""

import datetime as dt
import html
import re

import pytest
from django.test import Client

from campaigns import lifecycle
from campaigns.clock import database_now
from campaigns.race.plan import seeds_needed
from campaigns.standings.progress import campaign_progress
from experiments import catalog
from tests import factories
from tests.pages.campaign_form import FRAGMENT, HEADS, LR, WIDTH, edited, posted, rows

pytestmark = pytest.mark.django_db


def test_the_preview_counts_the_grid_and_what_constraints_reject(researcher: Client) -> None:
    data = rows(WIDTH, HEADS, constraints=("d_model % n_heads == 0",))
    page = posted(researcher, FRAGMENT, sampler="grid", **data).text
    assert '<dd class="value">15</dd>' in page
    assert "9 keep the constraints" in page
    assert "rejects 40 %" in page
    assert "d_model=64 n_heads=3" in page
    assert "10 tasks are no multiple of the grid&#x27;s 9 points." in page


def test_the_preview_measures_a_continuous_space(researcher: Client) -> None:
    page = posted(researcher, FRAGMENT, **rows(LR, WIDTH, constraints=("lr < 0.001",))).text
    assert "times lr over 2 decades" in page
    assert "of 1\u202f000 points drawn at random" in page


def test_a_grid_without_end_is_told_at_the_preview_and_at_the_field(researcher: Client) -> None:
    data = rows(LR, WIDTH) | {"sampler": "grid"}
    sentence = "A grid cannot count the values of lr"
    assert sentence in posted(researcher, FRAGMENT, **data).text
    response = posted(researcher, **data)
    assert response.status_code == 422
    assert sentence in response.text.split('id="id_sampler"')[1].split("</ul>")[0]


def test_parameters_that_the_script_lacks_are_pointed_out(researcher: Client) -> None:
    page = posted(researcher, FRAGMENT, **rows(LR, HEADS | {"name": "dropout"})).text
    assert "Not in the experiment&#x27;s own space: dropout." in page
    assert "Missing from the experiment&#x27;s own space: d_model, n_heads" in page


def test_cost_is_told_for_the_workers_that_are_here(researcher: Client) -> None:
    now = database_now()
    attempt = factories.leased_task(factories.worker("slow"), now=now, time_budget_seconds=10.0)
    factories.finish(attempt, now=now + dt.timedelta(seconds=12.5))
    for name in ("slow", "second"):
        worker = attempt.worker if name == "slow" else factories.worker(name)
        worker.last_seen_at = now
        worker.slots = 2 if name == "second" else None
        worker.save()
    factories.worker("no torch", simulates=True, last_seen_at=now)
    factories.worker("resting", last_seen_at=now, paused_until=now + dt.timedelta(hours=1))
    factories.worker("gone", last_seen_at=now - dt.timedelta(days=1))
    page = posted(researcher, FRAGMENT, task_count=11, time_budget_seconds=20).text
    # Eleven tasks of 22.5 s: a budget of 20 s and an overhead of 2.5 s; at most four per slot.
    assert "4 m 08 s" in page
    assert "1 m 30 s" in page
    assert "each 2.5 s over its budget (median of 1)" in page
    assert "3 tasks at a time on 2 workers online" in page


def test_a_new_campaign_takes_turns_with_others(researcher: Client) -> None:
    now = database_now()
    factories.worker(last_seen_at=now, slots=2)
    alone = posted(researcher, FRAGMENT, task_count=4, time_budget_seconds=20).text
    assert "2 tasks at a time on 1 worker online</dd>" in alone
    assert ">40 s</dd>" in alone
    other = factories.active_campaign(10, now=now, time_budget_seconds=20.0)
    page = posted(researcher, FRAGMENT, task_count=4, time_budget_seconds=20).text
    assert "2 tasks at a time on 1 worker online, in turn with 4 tasks of other campaigns" in page
    # Its four runs of 20 s and four of the other, by twos.
    assert ">1 m 20 s</dd>" in page
    # Once it is launched its progress says the same.
    new = factories.active_campaign(4, now=now + dt.timedelta(seconds=1), time_budget_seconds=20.0)
    told = campaign_progress(new, now=now + dt.timedelta(seconds=1)).forecast
    assert (told.ahead, told.eta_seconds) == (4, 80)
    lifecycle.pause(other, now=now)
    lifecycle.pause(new, now=now)
    page = posted(researcher, FRAGMENT, task_count=4, time_budget_seconds=20).text
    assert ">40 s</dd>" in page


def test_without_workers_and_results_the_preview_says_so(researcher: Client) -> None:
    page = posted(researcher, FRAGMENT).text
    assert "overhead not measured yet" in page
    assert "no worker online" in page


def test_a_draft_shows_the_same_preview_on_its_own_page(client: Client) -> None:
    page = client.get(factories.campaign(task_count=3).get_absolute_url()).text
    assert "The first 3 of 3 configs" in page
    assert "Total compute" in page


def test_runs_that_are_kept_for_the_race_are_told_beside_the_arms(researcher: Client) -> None:
    page = posted(researcher, FRAGMENT, task_count=100).text
    assert "100 tasks: 70 arms, and 30 runs kept for their race" in page
    assert "The first 5 of 70 configs" in page
    data = rows(WIDTH, HEADS) | {"sampler": "grid"}
    assert (
        "100 tasks, and up to 30 runs of their race"
        in posted(researcher, FRAGMENT, task_count=100, **data).text
    )
    by_hand = posted(researcher, FRAGMENT, task_count=100, races_automatically="False").text
    assert "The first 5 of 100 configs" in by_hand


def test_a_draft_says_how_many_of_its_tasks_are_kept(client: Client) -> None:
    draft = factories.campaign(task_count=100, races_automatically=None)
    page = client.get(draft.get_absolute_url()).text
    assert (
        "Launching hands out 100 tasks of 10 s, 30 of them only in the race of the first arms"
        in page
    )
    assert "The first 5 of 70 configs" in page


def test_the_planner_says_what_a_difference_takes_before_there_is_a_campaign(
    researcher: Client,
) -> None:
    factories.worker(last_seen_at=database_now(), slots=2)
    page = html.unescape(posted(researcher, FRAGMENT, worth_seeing="0.02").text)
    noise = catalog.get("train_char_lm").seed_noise
    assert noise is not None
    seeds = seeds_needed(0.02, noise.sd, 0.4 * noise.pairs)
    assert f"To see 0.02 bits/byte here you need {seeds} seeds of each: {2 * seeds} runs, " in page
    assert "That assumes the noise that the catalog records" in page
    assert "A race by itself has at most 12 seeds, and finds it with a chance of " in page
    assert f"Set it up: a race by hand on {seeds} seeds, when the arms have run" in page
    wide = html.unescape(posted(researcher, FRAGMENT, worth_seeing="0.05").text)
    assert "you need 3 seeds of each: 6 runs" in wide
    assert "Set it up: 160 tasks, a race by itself" in wide
    assert "is a number above 0" in posted(researcher, FRAGMENT, worth_seeing="-1").text


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ("0.05", {"task_count": "160", "min_effect": "0.05", "race_seeds": "12", "by": "True"}),
        ("0.02", {"task_count": "10", "min_effect": "0.02", "race_seeds": "14", "by": "False"}),
        ("junk", {"task_count": "10", "min_effect": "0.01", "race_seeds": "12", "by": ""}),
    ],
)
def test_its_button_sets_up_the_race_and_keeps_the_difference(
    researcher: Client, difference: str, expected: dict[str, str]
) -> None:
    page = edited(researcher, "plan", worth_seeing=difference)
    fields = {
        name: re.search(rf'name="{name}"[^>]* value="([^"]*)"', page)
        for name in ("task_count", "min_effect", "race_seeds")
    }
    assert {name: found and found[1] for name, found in fields.items()} == {
        name: expected[name] for name in fields
    }
    chosen = page.split('name="races_automatically"')[1].split("</select>")[0]
    assert f'<option value="{expected["by"]}" selected>' in chosen
    assert f'name="worth_seeing" min="0" max="1000" step="any" value="{difference}"' in page
