"""The page of a task: params, config, attempts, result and learning curve."""

import re
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle
from campaigns.models import Attempt, ProgressPoint, Task
from tests import factories
from tests.pages.charts import figure_of
from tests.pages.live_page import Page
from workers.models import AuditEntry
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def page_of(client: Client, task: Task) -> str:
    return client.get(task.get_absolute_url()).text


def with_progress(attempt: Attempt, points: int) -> Attempt:
    values = ({"train_loss": 2.0, "value": 4 - n / 10} for n in range(points))
    return factories.curve(attempt, values)


def submit_without_value(attempt: Attempt, **metrics: Any) -> None:
    body = factories.completed(attempt.task)
    no_values = {"val_bpb": None, "train_loss": None, "eval_nll_nats": None}
    body["metrics"] = body["metrics"] | no_values | metrics
    lifecycle.submit(attempt.worker, attempt.lease_id, body, now=factories.NOW)


def test_it_shows_params_config_and_the_raw_result(client: Client) -> None:
    task = factories.completed_task(3.1234)
    page = page_of(client, task)
    assert "3.1234" in page
    for name in task.params:
        assert f"<dt>{name}</dt>" in page
    assert "&quot;time_budget_seconds&quot;: 10.0" in page
    assert "&quot;torch_version&quot;: &quot;2.13.0&quot;" in page


def test_a_failed_task_shows_why_and_opens_the_end_of_stderr(client: Client) -> None:
    task = factories.failed_task(FailureClass.SCRIPT_ERROR)
    page = page_of(client, task)
    assert "script error: <bdi>exit code 1</bdi>" in page
    assert re.search(r'<details id="stderr-1" open>.*Traceback …', page, re.DOTALL)
    assert "every try failed" in page


def test_every_attempt_stands_with_its_worker_and_outcome(client: Client) -> None:
    lost = factories.lost_attempt()
    again = factories.claim_one(factories.worker("second-try"), now=factories.at(3600))
    page = page_of(client, again.task)
    assert "second-try" in page
    assert lost.worker.name in page
    assert "</svg>lost</span>" in page
    assert "</svg>running</span>" in page


def test_the_learning_curve_is_drawn_from_the_progress_points(client: Client) -> None:
    attempt = with_progress(factories.leased_task(), 5)
    training, validation = figure_of(page_of(client, attempt.task), "learning-curve")["data"]
    assert validation["y"] == [4.0, 3.9, 3.8, 3.7, 3.6]
    # 2 nats are 2.885 bits.
    assert training["y"][0] == pytest.approx(2.88539, abs=1e-5)


def test_a_refresh_sends_the_new_points_of_a_long_curve_alone(client: Client) -> None:
    campaign = factories.active_campaign(3)
    for number in range(2):
        done = with_progress(factories.claim_one(factories.worker()), 20 + number)
        factories.finish(done, 3.0 - number)
    attempt = with_progress(factories.claim_one(factories.worker()), 610)
    single = Page(client, attempt.task.get_absolute_url())
    both = Page(client, f"{reverse('compare')}?tasks={attempt.task.name},{campaign.pk}/0")
    ProgressPoint.objects.create(
        attempt=attempt, seq=610, elapsed_seconds=610.0, step=6100, train_loss=2.0, value=2.5
    )
    grown = single.refresh()
    assert len(grown.content) <= 5_000
    assert set(single.news()["parts"]) == {
        *("learning-curve-figure", "curve-rows-24"),
        *("learning-curve-1-training-24", "learning-curve-1-validation-24"),
    }
    assert set(both.news()["parts"]) == {"compare-figure", "compare-A-24", "points-A-24"}
    # What the page holds is the whole figure, with the others in grey.
    figure = figure_of(client.get(single.address).text, "learning-curve")
    assert [len(trace["x"]) for trace in figure["data"]] == [611, 611, 21 + 22]
    assert figure["data"][1]["y"][-1] == 2.5


def test_too_few_points_are_said_instead_of_drawn(client: Client) -> None:
    attempt = with_progress(factories.leased_task(), 1)
    factories.finish(attempt)
    page = page_of(client, attempt.task)
    assert "Fewer than two progress points were reported." in page
    assert "learning-curve-figure" not in page


def test_it_polls_until_the_task_has_ended(client: Client) -> None:
    attempt = factories.leased_task()
    assert "data-live=" in page_of(client, attempt.task)
    factories.finish(attempt)
    assert "data-live=" not in page_of(client, attempt.task)


def test_a_diverged_result_is_shown_as_such(client: Client) -> None:
    attempt = factories.leased_task()
    submit_without_value(attempt, diverged=True)
    assert "</svg>diverged</span>" in page_of(client, attempt.task)


def test_a_budget_too_small_for_one_step_is_told(client: Client) -> None:
    attempt = factories.leased_task()
    submit_without_value(
        attempt, steps_completed=0, stop_reason="budget_too_small", eval_bytes=0, eval_tokens=0
    )
    assert "not one training step fitted in the budget" in page_of(client, attempt.task)
    page = client.get(attempt.task.campaign.get_absolute_url()).text
    assert '1 <span class="word">no value' in page


def test_steps_whose_evaluation_did_not_fit_are_told(client: Client) -> None:
    attempt = factories.leased_task()
    submit_without_value(
        attempt, steps_completed=1, stop_reason="no_time_to_evaluate", eval_bytes=0, eval_tokens=0
    )
    assert "the budget ended before the evaluation" in page_of(client, attempt.task)


def test_what_was_unusual_about_a_run_that_counts_is_shown_at_its_attempt(client: Client) -> None:
    attempt = factories.leased_task()
    body = factories.completed(attempt.task)
    body["message"] = "crashed while exiting: SIGSEGV"
    lifecycle.submit(attempt.worker, attempt.lease_id, body, now=factories.at(10))
    page = page_of(client, attempt.task)
    assert page.count("<bdi>crashed while exiting: SIGSEGV</bdi>") >= 2


def test_the_owner_retries_a_failed_task(client: Client) -> None:
    task = factories.failed_task()
    client.force_login(factories.user(is_staff=True))
    assert "Run again" in page_of(client, task)
    page = client.post(reverse("task-change", args=[*task.name, "retry"]), follow=True).text
    assert f"Task {task.name} is pending again." in page


def test_a_completed_task_is_run_again_with_a_new_seed(client: Client) -> None:
    task = factories.completed_task(3.0, owner=(owner := factories.user()))
    client.force_login(owner)
    assert "Run again with a new seed" in page_of(client, task)
    response = client.post(reverse("task-again", args=task.name), follow=True)
    added = Task.objects.get(campaign=task.campaign, number=1)
    assert response.request["PATH_INFO"] == added.get_absolute_url()
    assert (added.params, added.state, added.origin) == (task.params, "pending", "enqueued")
    assert added.seed != task.seed
    name = task.name._replace(number=1)
    assert f"Task {name} is added: the params of task {task.name}, a new seed." in response.text
    entry = AuditEntry.objects.get(verb="run_again", actor=owner)
    assert (entry.target_id, entry.detail) == (task.campaign_id, "arm 0: task 1")


def test_running_again_is_for_the_owner_and_not_for_cancelled_campaigns(client: Client) -> None:
    owner = factories.user()
    task = factories.completed_task(3.0, owner=owner)
    path = reverse("task-again", args=task.name)
    assert client.post(path).status_code == 302
    client.force_login(factories.user())
    assert "Run again" not in page_of(client, task)
    assert client.post(path).status_code == 403
    client.force_login(owner)
    assert client.get(path).status_code == 405
    cancelled = factories.active_campaign(2, owner=owner)
    attempt = factories.claim_one(factories.worker())
    factories.finish(attempt)
    lifecycle.cancel(cancelled, now=factories.NOW)
    assert "Run again" not in page_of(client, attempt.task)
    page = client.post(reverse("task-again", args=attempt.task.name), follow=True).text
    assert "The campaign is cancelled; launch it first, or clone it." in page
    assert Task.objects.filter(origin="enqueued").count() == 0


def test_values_of_other_seeds_are_shown_with_their_spread(client: Client) -> None:
    task = factories.completed_task(3.0)
    worker = factories.worker()
    for value in (3.2, 3.1):
        lifecycle.enqueue(task.campaign, task.params, now=factories.NOW)
        factories.finish(factories.claim_one(worker, now=factories.at(60)), value)
    page = page_of(client, task)
    assert "The same params with 3 seeds: 3.1000 ± 0.1000 bits/byte" in page
    assert "mean ± standard deviation of 3 measured values" in page


def test_one_other_seed_that_waits_makes_no_spread(client: Client) -> None:
    task = factories.completed_task(3.0)
    lifecycle.enqueue(task.campaign, task.params, now=factories.NOW)
    page = page_of(client, task)
    assert "a spread needs two measured values" in page
    assert "±" not in page


def test_a_killed_attempt_shows_how_far_it_came_as_partial(client: Client) -> None:
    attempt = with_progress(factories.leased_task(), 5)
    factories.fail(attempt, FailureClass.TIMEOUT)
    page = page_of(client, attempt.task)
    assert "Partial, not ranked: step 40 after 4 s, val_bpb about 3.6000" in page


def test_a_completed_attempt_has_no_partial_value(client: Client) -> None:
    attempt = with_progress(factories.leased_task(), 5)
    factories.finish(attempt)
    assert "Partial" not in page_of(client, attempt.task)


def test_the_points_of_the_curve_are_a_table_and_a_csv_file(client: Client) -> None:
    attempt = with_progress(factories.leased_task(), 5)
    page = page_of(client, attempt.task)
    assert "Points of attempt 1 as a table" in page
    response = client.get(reverse("task-curve", args=attempt.task.name))
    lines = b"".join(response).decode().splitlines()
    assert lines[0] == "attempt,seq,elapsed_seconds,step,tokens,train_loss,val_bpb"
    assert lines[5] == "1,4,4.0,40,,2.0,3.6"


def test_a_long_curve_is_drawn_as_a_sample_that_keeps_its_end(client: Client) -> None:
    attempt = factories.curve(
        factories.leased_task(), ({"step": n, "value": 4.0} for n in range(4505))
    )
    page = page_of(client, attempt.task)
    assert "A sample of the points is drawn" in page
    drawn = figure_of(page, "learning-curve")["data"][0]["x"]
    assert (len(drawn), drawn[0], drawn[-1]) == (1503, 0, 4504)


def test_only_the_latest_attempts_are_shown_and_it_is_said(client: Client) -> None:
    task = factories.pending_task()
    worker = factories.worker()
    Attempt.objects.bulk_create(
        Attempt(
            task=task,
            number=n,
            lease_id=uuid.uuid4(),
            claim_id=uuid.uuid4(),
            worker=worker,
            started_at=factories.NOW,
            ended_at=factories.NOW,
            outcome="released",
        )
        for n in range(1, 61)
    )
    page = page_of(client, task)
    assert "The latest 50 attempts are shown." in page
    assert page.count("</svg>released</span>") == 50


def test_an_implausible_result_says_so_and_operators_may_admit_it(client: Client) -> None:
    owner = factories.user()
    task = factories.completed_task(1e-4, owner=owner)
    page = page_of(client, task)
    assert "implausible, not counted" in page
    assert "not counted: below 1.2580, half of what lzma reaches on this data set" in page
    client.force_login(owner)
    assert "admit-button" not in page_of(client, task)

    client.force_login(factories.user(is_staff=True))
    assert "admit-button" in page_of(client, task)
    path = reverse("task-change", args=[*task.name, "admit"])
    after = client.post(path, follow=True).text
    assert f"Task {task.name} counts: its result is ranked." in after
    assert "admitted by an operator" in after
    assert "admit-button" not in after
    assert "implausible, not counted" not in after


def test_cancelling_a_running_task_says_what_is_lost(client: Client) -> None:
    attempt = factories.leased_task()
    client.force_login(factories.user(is_staff=True))
    assert "Its running attempt will be stopped" in page_of(client, attempt.task)
    path = reverse("task-change", args=[*attempt.task.name, "cancel"])
    assert f"Task {attempt.task.name} is cancelled." in client.post(path, follow=True).text


def test_its_queries_do_not_grow_with_the_attempts(
    client: Client, django_assert_max_num_queries
) -> None:
    factories.lost_attempt()
    attempt = with_progress(factories.claim_one(factories.worker(), now=factories.at(3600)), 30)
    with django_assert_max_num_queries(12):
        page_of(client, attempt.task)
    # The arm's place and the curves of others are computed once a revision.
    with django_assert_max_num_queries(5):
        page_of(client, attempt.task)


def test_the_address_with_the_id_leads_to_the_one_with_campaign_and_number(client: Client) -> None:
    factories.pending_task()  # so that ids and numbers differ
    campaign = factories.active_campaign(3)
    task = campaign.tasks.get(number=2)
    assert task.get_absolute_url() == f"/campaigns/{campaign.pk}/tasks/2/"
    for part in ("", "curve.csv", "bundle.zip"):
        old = client.get(f"/tasks/{task.pk}/{part}?x=1")
        assert old.status_code == 301
        assert old["Location"] == f"/campaigns/{campaign.pk}/tasks/2/{part}?x=1"
    assert client.get("/tasks/999999/").status_code == 404
    assert client.get(f"/campaigns/{campaign.pk}/tasks/3/").status_code == 404
    # A form's address was never shown to anybody: its verbs have no old address.
    client.force_login(factories.user(is_staff=True))
    for part in ("cancel/", "retry/", "again/"):
        assert client.post(f"/tasks/{task.pk}/{part}").status_code == 404
    assert client.post(f"/tasks/{task.pk}/").status_code == 405


def test_an_old_address_tells_nothing_to_those_who_may_not_read(client: Client, settings) -> None:
    task = factories.pending_task()
    settings.XEENET = settings.XEENET | {"ANONYMOUS_READ": False}
    response = client.get(f"/tasks/{task.pk}/")
    assert response.status_code == 302
    assert response["Location"].startswith("/login/")


def test_it_shows_where_the_arm_stands_and_what_lies_beside_it(client: Client) -> None:
    race = factories.decided_race()
    campaign = race.campaign
    task = campaign.tasks.get(arm__number=0, seed_index=1)
    page = page_of(client, task)
    standing = re.search(r'id="task-standing">(.*?)</dd>', page, re.DOTALL)
    assert standing is not None
    assert "3 race seeds, champion, rank 1, row 1 of 2 on the board" in standing[1]
    seeds = list(campaign.tasks.filter(arm__number=0).order_by("number"))
    assert re.search(rf'id="task-before" href="{seeds[0].get_absolute_url()}"', page)
    assert re.search(rf'id="task-after" href="{seeds[2].get_absolute_url()}"', page)
    assert re.search(r'id="arm-after" href="[^"]*open=arm-1"', page)
    assert 'id="arm-before"' not in page


def test_the_curves_of_other_arms_lie_behind_its_own(client: Client) -> None:
    campaign = factories.active_campaign(3)
    for number in range(3):
        attempt = with_progress(factories.claim_one(factories.runner(), now=factories.NOW), 6)
        factories.finish(attempt, 3.0 + number)
    *own, others = figure_of(page_of(client, attempt.task), "learning-curve")["data"]
    assert len(own) == 2
    assert others["hoverinfo"] == "skip"
    # Two curves of six points, each ended by a gap.
    assert len(others["y"]) == 2 * 7
    assert others["y"].count(None) == 2
    assert campaign.arms.count() == 3


def test_a_note_on_the_task_is_written_on_its_page(client: Client) -> None:
    task = factories.completed_task(owner=(owner := factories.user("ada")))
    assert "textarea" not in page_of(client, task)
    client.force_login(owner)
    page = page_of(client, task)
    url = reverse("task-note", args=task.name)
    assert f'action="{url}"' in page
    answer = client.post(url, {"text": "seen", "next": task.get_absolute_url()}, follow=True)
    assert answer.redirect_chain[-1][0] == task.get_absolute_url()
    assert "seen</textarea>" in answer.text
    # A refresh has no field whose text would be lost.
    fragment = client.get(task.get_absolute_url(), headers={"HX-Request": "true"}).text
    assert "textarea" not in fragment
