"""The page that puts tasks or campaigns side by side."""

import datetime as dt
import html
import re
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from campaigns import lifecycle
from campaigns.clock import database_now
from campaigns.design.race_plan import plan_race
from campaigns.models import Campaign, Result, Task
from tests import factories
from tests.pages.charts import figure_of

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert(1)</script> {{ 7*7 }} \' onload="x"'


def compare(client: Client, **query: str) -> str:
    response = client.get(reverse("compare"), query)
    assert response.status_code == 200
    return response.text


def figure(page: str) -> dict[str, Any]:
    return figure_of(page, "compare")


def task_with_curve(val_bpb: float, **fields: Any) -> Task:
    attempt = factories.leased_task(**fields)
    points = (
        {"elapsed_seconds": 2 * n, "tokens": 1000 * n, "value": val_bpb + 1 - n / 5}
        for n in range(5)
    )
    factories.curve(attempt, points)
    factories.finish(attempt, val_bpb)
    return Task.objects.get(pk=attempt.task_id)


def campaign_with(*values: float, **fields: Any) -> Campaign:
    campaign = factories.active_campaign(len(values), **fields)
    worker = factories.worker()
    for minute, value in enumerate(values):
        now = factories.NOW + dt.timedelta(minutes=minute)
        factories.finish(factories.claim_one(worker, now=now), value, now=now)
    campaign.refresh_from_db()
    return campaign


def row(page: str, name: str) -> list[str]:
    """Return the cells of the table row with this heading, without their markup."""
    match = re.search(rf'<th scope="row">{name}\b.*?</th>(.*?)</tr>', page)
    assert match, name
    cells = re.findall(r"<td[^>]*>(.*?)</td>", match[1])
    return [re.sub(r"<[^>]+>", "", cell) for cell in cells]


def test_nothing_to_compare_says_what_to_do(client: Client) -> None:
    for query in ({}, {"tasks": ""}, {"tasks": "x,-1,1e3,²"}, {"campaigns": "9" * 30}):
        assert "Nothing to compare yet." in compare(client, **query)


def test_tasks_stand_side_by_side_with_what_differs(client: Client) -> None:
    campaign = factories.active_campaign(1)
    first = campaign.tasks.get()
    params = first.params | {"lr": 0.0042}
    worker = factories.worker()
    attempt = factories.claim_one(worker)
    # Not before: what a person asked for is handed out before what was drawn.
    lifecycle.enqueue(campaign, params, now=factories.NOW)
    factories.finish(attempt, 3.0)
    second = factories.claim_one(worker, now=factories.at(1))
    factories.finish(second, 3.25)
    page = compare(client, tasks=f"{first.name},{second.task.name}")
    assert "Cannot be told: no shared seeds of A and B beside the screening" in page
    assert row(page, "val_bpb") == ["3.0000", "3.2500"]
    assert row(page, "distance to the lowest") == ["lowest", "+0.2500"]
    assert row(page, "lr") == [str(first.params["lr"]), "0.0042"]
    # Equal for both: shown in the line below the table, not in a row.
    assert not re.search(r'<th scope="row">d_model', page)
    assert f"<dt>d_model</dt><dd>{first.params['d_model']}</dd>" in page


def raced(values: dict[int, float], *, spread: float = 0.0) -> list[Task]:
    """Return the first tasks of two arms, whose four further seeds reached these values."""
    campaign = factories.active_campaign(2)
    first = list(campaign.tasks.order_by("number"))
    factories.run_pending(campaign, lambda _: 3.0)
    for task in first * 4:
        lifecycle.enqueue(campaign, task.params, now=factories.at(200))
    seeds: dict[int, int] = {}

    def value(task: Task) -> float:
        place = seeds.setdefault(task.seed, len(seeds)) % 2
        return values[task.arm.number] + place * spread * (1 if task.arm.number else -1)

    factories.run_pending(campaign, value)
    return first


def test_what_seeds_change_is_no_difference(client: Client) -> None:
    first, second = raced({0: 3.1, 1: 3.12}, spread=0.1)
    page = compare(client, tasks=f"{first.name},{second.name}")
    assert "No difference is shown between A and B: " in page
    assert "on 4 shared seeds." in page
    assert "is ahead of" not in page


def test_an_arm_is_ahead_when_its_shared_seeds_say_so(client: Client) -> None:
    first, second = raced({0: 3.3, 1: 3.1})
    page = compare(client, tasks=f"{first.name},{second.name}")
    assert "B is ahead of A by 0.2000 bits/byte ± " in page
    assert "on 4 shared seeds." in page
    assert "Let them race" not in page


def test_what_cannot_be_told_offers_the_race_that_tells_it(client: Client) -> None:
    campaign = factories.active_campaign(2, owner=(owner := factories.user()))
    factories.run_pending(campaign, lambda task: 3.0 + task.number)
    first, second = campaign.tasks.order_by("number")
    path = {"tasks": f"{first.name},{second.name}"}
    assert 'id="race-button"' not in compare(client, **path)
    client.force_login(owner)
    page = compare(client, **path)
    assert f'action="{reverse("campaign-race", args=[campaign.pk])}"' in page
    assert page.count('name="arms"') == 2


def test_the_planner_says_what_a_difference_takes_and_its_button_races_that_long(
    client: Client,
) -> None:
    campaign = factories.active_campaign(2, owner=(owner := factories.user()))
    factories.run_pending(campaign, lambda task: 3.0 + task.number)
    factories.worker(last_seen_at=database_now(), slots=2)
    first, second = campaign.tasks.order_by("number")
    path = {"tasks": f"{first.name},{second.name}"}
    plan = plan_race(campaign, 0.02, now=database_now())
    client.force_login(owner)
    page = html.unescape(compare(client, **path))
    # Twice the campaign's smallest difference that matters, unless the address says another.
    assert 'value="0.02" required' in page
    assert f'id="race-plan">{plan.sentence}</p>' in page
    button = f'<input type="hidden" name="seeds" value="{plan.seeds}">'
    assert button in page
    assert f">Race them on {plan.seeds} seeds (" in page
    wider = html.unescape(compare(client, **path, worth_seeing="0.1"))
    assert "To see 0.1 bits/byte here you need 3 seeds of each: 6 runs, " in wider
    assert '<input type="hidden" name="seeds" value="3">' in wider

    url = reverse("campaign-race", args=[campaign.pk])
    client.post(url, {"arms": ["0", "1"], "seeds": str(plan.seeds)})
    assert len(campaign.races.get().seeds) == plan.seeds


@pytest.mark.parametrize("text", ["nan", "-1", "0", "1e999", "much", "9" * 5_000])
def test_a_difference_that_is_none_is_told_at_its_field(client: Client, text: str) -> None:
    campaign = factories.active_campaign(2, owner=(owner := factories.user()))
    factories.run_pending(campaign, lambda task: 3.0 + task.number)
    first, second = campaign.tasks.order_by("number")
    client.force_login(owner)
    page = compare(client, tasks=f"{first.name},{second.name}", worth_seeing=text)
    assert "A difference worth seeing is a number above 0." in page
    assert ">Let them race</button>" in page
    assert '<input type="hidden" name="seeds" value="12">' in page


def test_arms_of_unlike_machines_stand_in_no_order(client: Client) -> None:
    first, second = raced({0: 3.3, 1: 3.1})
    factories.in_another_class(Result.objects.filter(arm=second.arm_id))
    page = compare(client, tasks=f"{first.name},{second.name}")
    assert "Cannot be told: their results are of different classes" in page


def test_arms_of_campaigns_with_another_budget_stand_in_no_order(client: Client) -> None:
    first, _ = raced({0: 3.3, 1: 3.3})
    second, _ = raced({0: 3.1, 1: 3.1})
    factories.in_another_class(second.campaign.results.all(), budget="20 s")
    page = compare(client, tasks=f"{first.name},{second.name}")
    assert "Cannot be told: their results are of different classes" in page


def test_arms_of_two_campaigns_are_told_apart_by_shared_seeds(client: Client) -> None:
    first, _ = raced({0: 3.3, 1: 3.3})
    second, _ = raced({0: 3.1, 1: 3.1})
    assert "B is ahead of A by 0.2000" in compare(client, tasks=f"{first.name},{second.name}")
    # Another base seed: the same places in the list are other seeds.
    Task.objects.filter(campaign=second.campaign_id).update(seed=F("seed") + 1)
    Campaign.objects.filter(pk=second.campaign_id).update(base_seed=7)
    page = compare(client, tasks=f"{first.name},{second.name}")
    assert "Campaigns share seeds when they have the same base seed; these have 7, 42." in page


def test_the_curves_of_tasks_share_one_chart_over_the_axis_asked_for(client: Client) -> None:
    first, second = task_with_curve(3.0), task_with_curve(3.1)
    tasks = f"{first.name},{second.name}"
    drawn = figure(compare(client, tasks=tasks))
    curves = [trace for trace in drawn["data"] if trace["mode"] == "lines+markers"]
    assert [curve["x"] for curve in curves] == [[0, 2, 4, 6, 8]] * 2
    assert curves[0]["y"] == [4.0, 3.8, 3.6, 3.4, 3.2]
    assert len({curve["line"]["dash"] for curve in curves}) == 2
    labels = [annotation["text"] for annotation in drawn["layout"]["annotations"]]
    assert labels == ["<b>A</b>", "<b>B</b>"]
    assert figure(compare(client, tasks=tasks, x="tokens"))["data"][0]["x"][-1] == 4000


def test_conditions_that_forbid_comparing_are_told(client: Client) -> None:
    task = factories.completed_task(3.0)
    attempt = factories.leased_task(dataset="english_like", time_budget_seconds=20.0)
    factories.finish(attempt, 2.0)
    page = compare(client, tasks=f"{task.name},{attempt.task.name}")
    assert "These values do not measure the same thing: data set differs." in page
    assert "A time budget compares only like with like: budget differs." in page
    # Neither has a curve: a sentence, no chart of two marks.
    assert "so there are no curves; the table below has what they reached." in page
    assert "compare-figure" not in page


def test_a_task_without_value_is_shown_and_leads_nobody(client: Client) -> None:
    done, waits = factories.completed_task(3.0), factories.pending_task()
    page = compare(client, tasks=f"{done.name},{waits.name}")
    assert row(page, "val_bpb") == ["3.0000", "—"]
    assert "is ahead of" not in page
    assert "data-live=" in page


def test_simulated_values_are_badged_and_not_compared(client: Client) -> None:
    worker = factories.worker(simulates=True)
    attempt = factories.leased_task(worker, allow_simulated=True)
    body = factories.completed(attempt.task, 1.0) | {"simulated": True}
    lifecycle.submit(worker, attempt.lease_id, body, now=factories.NOW)
    page = compare(client, tasks=f"{attempt.task.name},{factories.completed_task(3.0).name}")
    assert "SIMULATED" in page
    assert row(page, "val_bpb") == ["—", "3.0000"]


def test_campaigns_stand_side_by_side(client: Client) -> None:
    narrow = {
        "parameters": [
            {"name": "lr", "type": "float", "low": 1e-4, "high": 1e-2, "log": True, "decimals": 6},
            {"name": "d_model", "type": "choice", "values": [64]},
        ],
        "constraints": [],
    }
    first = campaign_with(3.4, 3.5, 3.1, name="wide")
    second = campaign_with(3.3, name="narrow", search_space=narrow)
    page = compare(client, campaigns=f"{first.pk},{second.pk}")
    assert row(page, "first arm val_bpb") == ["3.1000", "3.3000"]
    assert row(page, "how sure") == ["one seed: unknown"] * 2
    assert row(page, "median val_bpb") == ["3.4000", "3.3000"]
    assert row(page, "measured results") == ["3", "1"]
    assert "64, 128, 256" in page
    drawn = figure(page)["data"]
    # New bests only; the last value is repeated up to the newest result.
    assert (drawn[0]["x"], drawn[0]["y"]) == ([1, 3, 3], [3.4, 3.1, 3.1])
    in_hours = figure(compare(client, campaigns=f"{first.pk},{second.pk}", x="hours"))
    assert in_hours["data"][0]["x"] == [0.0, 0.0333, 0.0333]


def test_a_campaign_of_drafts_has_no_curve(client: Client) -> None:
    page = compare(client, campaigns=f"{factories.campaign().pk},{factories.campaign().pk}")
    assert "None of them has a measured result yet." in page


def test_checkboxes_and_commas_ask_for_the_same(client: Client) -> None:
    first, second = factories.completed_task(3.0), factories.completed_task(3.1)
    page = client.get(f"{reverse('compare')}?tasks={first.name}&tasks={second.name}").text
    assert "Compare 2 tasks" in page


def test_more_than_five_are_cut_and_what_is_gone_is_named(client: Client) -> None:
    names = [factories.completed_task(3.0).name for _ in range(6)]
    page = compare(client, tasks=",".join(map(str, names)))
    assert "Only the first 5 are shown" in page
    assert "Compare 5 tasks" in page
    assert "There is no task 999/7;" in compare(client, tasks=f"{names[0]},999/7")


def test_the_points_come_as_csv(client: Client) -> None:
    task = task_with_curve(3.0, name="=cmd()")
    response = client.get(reverse("compare-csv"), {"tasks": str(task.name), "x": "steps"})
    lines = b"".join(response).decode().splitlines()
    assert lines[:2] == ["letter,name,steps,val_bpb", f"A,Task {task.name},0,4.0"]
    assert lines[-1] == f"A,Task {task.name},100.0,3.0"
    campaign = client.get(reverse("compare-csv"), {"campaigns": str(task.campaign_id)})
    assert "'=cmd()" in b"".join(campaign).decode()


def test_hostile_names_are_shown_as_text(client: Client) -> None:
    task = task_with_curve(3.0, name=HOSTILE)
    for query in ({"tasks": str(task.name)}, {"campaigns": str(task.campaign_id)}):
        page = compare(client, **query)
        assert escape(HOSTILE) in page
        assert "<script>alert" not in page


def test_htmx_gets_the_fragment_alone(client: Client) -> None:
    task = factories.completed_task()
    path = f"{reverse('compare')}?tasks={task.name}"
    page = client.get(path, headers={"HX-Request": "true"}).text
    assert re.match(r'<div data-v="[^"]+" class="live" id="compare"', page.lstrip())


def test_a_number_that_is_typed_never_adds_another_task(client: Client) -> None:
    factories.completed_task(3.5)  # so that ids and numbers differ
    task, other = factories.completed_task(3.0), factories.completed_task(3.1)
    for query in (
        {"tasks": str(task.name), "add": str(other.pk)},
        {"tasks": f"{task.name},{other.pk}"},
        {"tasks": str(other.pk), "add": str(task.name)},
    ):
        page = compare(client, **query)
        assert f"{other.pk} is not the name of a task" in page
        assert f"Task {task.name}" in page
        assert f"Task {other.name}" not in page
    page = compare(client, tasks=str(task.name), add=f" {other.name} ")
    assert f"Task {other.name}" in page


def test_an_old_address_with_ids_leads_to_the_one_with_names(client: Client) -> None:
    factories.completed_task(3.5)
    task, other = factories.completed_task(3.0), factories.completed_task(3.1)
    for page in ("compare", "compare-csv"):
        old = client.get(reverse(page), {"tasks": f"{other.pk},{task.pk},99999", "x": "steps"})
        assert old.status_code == 301
        assert old["Location"] == f"{reverse(page)}?tasks={other.name},{task.name},99999&x=steps"
    assert (
        "99999 is not the name of a task"
        in client.get(old["Location"].replace("curves.csv", "")).text
    )
    # Ids that no task has lead nowhere.
    assert client.get(reverse("compare"), {"tasks": "99998,99999"}).status_code == 200


@pytest.mark.parametrize("role", ["viewer", "researcher", "operator"])
def test_everybody_who_may_read_may_compare(client: Client, settings, role: str) -> None:
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}
    for name in ("compare", "compare-csv"):
        assert client.get(reverse(name)).status_code == 302
    client.force_login(factories.user(role=role))
    for name in ("compare", "compare-csv"):
        assert client.get(reverse(name)).status_code == 200


def test_the_queries_do_not_grow_with_the_columns(
    client: Client, django_assert_max_num_queries
) -> None:
    tasks = ",".join(str(task_with_curve(3.0).name) for _ in range(5))
    clock = connection.vendor == "postgresql"  # there a query reads the database's clock
    with django_assert_max_num_queries(6 + clock):
        compare(client, tasks=tasks)
    pks = ",".join(str(campaign_with(3.0, 2.9).pk) for _ in range(5))
    cache.clear()
    with django_assert_max_num_queries(10):
        compare(client, campaigns=pks)
    with django_assert_max_num_queries(5):
        compare(client, campaigns=pks)
