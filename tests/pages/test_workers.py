"""The pages of workers: the fleet, a worker, and how operators steer them."""

import importlib
import re
import uuid

import pytest
import time_machine
from django.apps import apps
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle as campaign_lifecycle
from tests import factories
from tests.pages.charts import figure_of
from workers import fleet, lifecycle
from workers.models import AuditEntry, Calibration, EnrolmentToken, Worker
from workers.protocol import FailureClass
from workers.tokens import hash_token

pytestmark = pytest.mark.django_db

HARDWARE = {
    "cpu_model": "EPYC 9R14",
    "cpu_count": 2,
    "ram_bytes": 8_000_000_000,
    "torch_version": "2.13.0",
    "devices": ["cpu"],
}


def test_an_empty_fleet_says_how_to_join(client: Client) -> None:
    page = client.get(reverse("workers")).text
    assert "No worker has joined yet" in page
    assert "An operator of this server can invite yours" in page
    client.force_login(factories.user(role="operator"))
    page = client.get(reverse("workers")).text
    assert "manage.py enroll_worker --server http://testserver" in page


@time_machine.travel(factories.at(20), tick=False)
def test_the_fleet_shows_presence_machine_and_current_task(client: Client) -> None:
    busy = factories.worker("busy", hardware=HARDWARE)
    lifecycle.see(busy, now=factories.at(10))
    attempt = factories.leased_task(busy, name="width study")
    factories.worker("never-came")
    page = client.get(reverse("workers")).text
    assert '>1<span class="unit"> of 2</span>' in page
    assert '>1<span class="unit"> of 1 online</span>' in page
    assert "EPYC 9R14" in page
    assert f"<bdi>width study</bdi> {attempt.task.name}" in page
    assert ">10 s ago</time>" in page
    assert "enrolled, but its agent has not called yet" in page


@time_machine.travel(factories.at(46), tick=False)
def test_what_a_worker_holds_beyond_its_places_comes_next(client: Client) -> None:
    busy = factories.worker("tower", slots=1)
    runs = factories.leased_task(busy, name="width study")
    comes_next = factories.leased_task(busy, name="depth study", now=factories.at(5))
    html = client.get(reverse("worker", args=[busy.pk])).text
    running, _, ahead = html.partition("<dt>next</dt>")
    assert f'id="task-{runs.task_id}"' in running
    assert f'id="task-{comes_next.task_id}"' in ahead
    Worker.objects.update(slots=2)
    assert "<dt>next</dt>" not in client.get(reverse("worker", args=[busy.pk])).text


def test_a_worker_silent_for_the_lease_time_is_offline(client: Client) -> None:
    lifecycle.see(factories.worker(), now=factories.NOW)
    page = client.get(reverse("workers")).text
    assert "</svg>offline</span>" in page


def test_a_worker_without_torch_is_badged(client: Client) -> None:
    worker = factories.worker(simulates=True)
    assert "SIMULATES" in client.get(reverse("workers")).text
    page = client.get(reverse("worker", args=[worker.pk])).text
    assert "This machine has no torch" in page


def test_a_worker_shows_its_machine_sessions_and_attempts(client: Client) -> None:
    worker = factories.worker("lab-1", hardware=HARDWARE)
    lifecycle.see(worker, now=factories.NOW, boot_id=uuid.uuid4())
    factories.completed_task(3.1234, by=worker, name="width study")
    factories.fail(factories.leased_task(worker, name="depth study"), FailureClass.OOM)
    page = client.get(reverse("worker", args=[worker.pk])).text
    for words in ("EPYC 9R14", "8 GB", "width study", "3.1234", "depth study", "out of memory"):
        assert words in page


def test_a_worker_shows_where_the_arms_of_its_runs_stand_on_their_boards(client: Client) -> None:
    race = factories.decided_race()
    worker = race.campaign.results.first().attempt.worker
    page = client.get(reverse("worker", args=[worker.pk])).text
    assert f'href="{reverse("campaign", args=[race.campaign_id])}?open=arm-0"' in page
    # The value with its interval, before the interval of the board's first row.
    assert re.search(r'class="band".*class="whisker".*class="dot"', page)
    assert re.search(r'small">± [\d.]+, \d+ race seeds, champion<', page)
    # A run without a value has no place.
    factories.fail(factories.leased_task(worker, name="depth study"), FailureClass.OOM)
    again = client.get(reverse("worker", args=[worker.pk])).text
    assert again.count("?open=arm-") == page.count("?open=arm-")


@time_machine.travel(factories.at(5), tick=False)
def test_a_worker_that_paused_itself_says_why(client: Client) -> None:
    worker = factories.worker()
    lifecycle.pause_after_env_error(worker, "torch does not import", now=factories.NOW)
    assert "torch does not import" in client.get(reverse("worker", args=[worker.pk])).text


def test_an_invitation_shows_its_secret_once_in_the_command_to_type(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))
    response = client.post(reverse("worker-invite"), {"label": "the attic"})
    match = re.search(
        r"xeenet-worker --server http://testserver --enrol (xe_[\w-]+)", response.text
    )
    assert match
    invitation = EnrolmentToken.objects.get()
    assert (invitation.token_hash, invitation.label) == (hash_token(match[1]), "the attic")
    # The link for who sits at that machine.
    assert f"http://testserver/workers/join/#{match[1]}" in response.text
    assert f"python3 dev.py worker --server http://testserver --enrol {match[1]}" in response.text
    assert "no-store" in response["Cache-Control"]


@time_machine.travel(factories.at(60), tick=False)
def test_the_fleet_counts_what_came_and_what_failed(client: Client) -> None:
    worker = factories.worker()
    for _ in range(3):
        factories.completed_task(by=worker, now=factories.at(30))
    factories.completed_task(by=worker, now=factories.at(-2 * 3600))
    factories.fail(factories.leased_task(worker), FailureClass.OOM)
    factories.fail(factories.leased_task(worker), FailureClass.OOM)
    factories.fail(factories.leased_task(worker), FailureClass.TIMEOUT)
    row = fleet.fleet_rows([worker], now=factories.at(60))[0]
    assert row.results_per_hour == 3
    assert row.failures == {"oom": 2, "timeout": 1}
    assert row.attempts == 7
    page = client.get(reverse("workers")).text
    assert "3 of 7" in page
    assert re.search(r"out of memory 2,\s+timeout 1", page)


def test_the_fleet_is_counted_once_for_many_looks(django_assert_num_queries) -> None:
    worker = factories.worker()
    factories.completed_task(by=worker, now=factories.at(30))
    with django_assert_num_queries(1):
        reads = [fleet.fleet_rows([worker], now=factories.at(60)) for _ in range(3)]
    assert [rows[0].attempts for rows in reads] == [1, 1, 1]
    assert fleet.fleet_rows([factories.worker()], now=factories.at(60))[0].attempts == 0


def test_speed_is_drawn_in_the_measure_asked_for(client: Client) -> None:
    worker = factories.worker()
    for minute in (0, 1):
        factories.completed_task(by=worker, now=factories.at(60 * minute))
    path = reverse("worker", args=[worker.pk])
    speeds = {}
    for measure in ("tokens", "steps", "compute"):
        page = client.get(f"{path}?speed={measure}").text
        speeds[measure] = figure_of(page, "speed")["data"][1]["y"]
    # 409,600 tokens and 100 steps of 100,000 parameters in 7.5 s of training.
    assert speeds == {
        "tokens": [54610.0, 54610.0],
        "steps": [13.33, 13.33],
        "compute": [32.77, 32.77],
    }


def test_a_simulated_attempt_has_no_speed(client: Client) -> None:
    worker = factories.worker(simulates=True)
    for _ in range(2):
        attempt = factories.leased_task(worker, allow_simulated=True)
        body = factories.completed(attempt.task) | {"simulated": True}
        campaign_lifecycle.submit(worker, attempt.lease_id, body, now=factories.NOW)
    page = client.get(reverse("worker", args=[worker.pk])).text
    assert "Simulated attempts have no speed." in page
    assert "speed-figure" not in page


def test_attempts_are_filtered_by_outcome_and_come_as_csv(client: Client) -> None:
    worker = factories.worker()
    factories.completed_task(3.1234, by=worker, name="=width()")
    factories.fail(factories.leased_task(worker, name="depth study"))
    path = reverse("worker", args=[worker.pk])
    page = client.get(f"{path}?outcome=failed").text
    assert "depth study" in page
    assert "=width()" not in page
    assert "No attempt was late." in client.get(f"{path}?outcome=late").text
    csv = b"".join(client.get(reverse("worker-csv", args=[worker.pk]))).decode()
    assert csv.splitlines()[0].startswith("campaign_id,campaign,task,attempt,outcome")
    assert len(csv.splitlines()) == 3
    # The quote keeps a spreadsheet from running the formula.
    assert "'=width()" in csv


@pytest.mark.parametrize(
    ("verb", "state"), [("drain", "draining"), ("disable", "disabled"), ("resume", "active")]
)
def test_an_operator_steers_a_worker_and_it_is_written_down(
    client: Client, verb: str, state: str
) -> None:
    worker = factories.worker()
    if verb == "resume":
        lifecycle.disable(worker)
    operator = factories.user("op", role="operator")
    client.force_login(operator)
    path = reverse("worker", args=[worker.pk])
    assert f'id="{verb}-button"' in client.get(path).text
    client.post(reverse("worker-change", args=[worker.pk, verb]))
    worker.refresh_from_db()
    assert worker.state == state
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb, entry.target_id) == (operator, verb, worker.pk)


def test_a_verb_that_does_not_fit_is_refused_in_a_sentence(client: Client) -> None:
    worker = factories.worker()
    client.force_login(factories.user(role="operator"))
    page = client.post(reverse("worker-change", args=[worker.pk, "resume"]), follow=True).text
    assert "is not disabled or draining, so it cannot become active." in page


def test_a_new_token_is_shown_once_and_revokes_the_old_one(client: Client) -> None:
    worker = factories.worker()
    client.force_login(factories.user(role="operator"))
    old = worker.token_hash
    response = client.post(reverse("worker-token", args=[worker.pk]))
    match = re.search(
        r"XEENET_WORKER_TOKEN=(xw_[\w-]+) \S+/xeenet-worker --server http://testserver",
        response.text,
    )
    assert match
    worker.refresh_from_db()
    assert worker.token_hash == hash_token(match[1]) != old
    assert "no-store" in response["Cache-Control"]
    assert match[1] not in client.get(reverse("worker", args=[worker.pk])).text


@pytest.mark.parametrize("role", ["", "viewer", "researcher"])
def test_only_operators_steer_workers(client: Client, role: str) -> None:
    worker = factories.worker()
    invitation, _ = lifecycle.invite(now=factories.NOW)
    old = worker.token_hash
    if role:
        client.force_login(factories.user(role=role))
    page = client.get(reverse("worker", args=[worker.pk])).text
    assert "Drain worker" not in page
    assert "New token" not in page
    for path in (
        reverse("worker-change", args=[worker.pk, "disable"]),
        reverse("worker-token", args=[worker.pk]),
        reverse("worker-invite"),
        reverse("worker-invitation-withdraw", args=[invitation.pk]),
    ):
        assert client.post(path).status_code == (403 if role else 302)
        assert client.get(path).status_code == (405 if role else 302)
    worker.refresh_from_db()
    assert (worker.state, worker.token_hash) == ("active", old)
    assert EnrolmentToken.objects.filter(pk=invitation.pk).exists()
    assert not AuditEntry.objects.exists()


def test_disabling_says_which_tasks_are_lost(client: Client) -> None:
    worker = factories.worker()
    factories.leased_task(worker)
    client.force_login(factories.user(role="operator"))
    page = client.get(reverse("worker", args=[worker.pk])).text
    assert "The 1 task it holds will be lost to it" in page


def test_no_page_shows_a_token_hash(client: Client) -> None:
    worker = factories.worker()
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    for path in (reverse("workers"), reverse("worker", args=[worker.pk])):
        assert worker.token_hash not in client.get(path).text


def test_the_measured_speed_stands_on_both_pages_and_operators_admit_a_flag(
    client: Client,
) -> None:
    worker = factories.worker()
    page = reverse("worker", args=[worker.pk])
    assert "Not measured yet" in client.get(page).text
    factories.calibrate(worker, 0.5)
    odd = factories.calibrate(worker, 1.26, dtype="bfloat16")
    Calibration.objects.filter(pk=odd.pk).update(flagged=True, value_off=0.0213)
    fleet_page = client.get(reverse("workers")).text
    assert "1.3×" in fleet_page
    assert "0.5×" not in fleet_page
    for words in ("1.3×", "0.5×", "bfloat16", "0.25", "0.021 bits per byte off"):
        assert words in client.get(page).text
    assert "Admit it" not in client.get(page).text
    client.force_login(factories.user(role="operator"))
    assert "Admit it" in client.get(page).text
    client.post(reverse("worker-change", args=[worker.pk, "admit-calibration"]))
    shown = client.get(page).text
    assert "admitted" in shown
    assert "Admit it" not in shown


def test_the_queries_of_the_fleet_do_not_grow(client: Client, django_assert_num_queries) -> None:
    for _ in range(6):
        factories.calibrate(factories.leased_task().worker)
    for name in ("ada", "grace"):
        lifecycle.identity_of(factories.user(name), now=factories.NOW)
    with django_assert_num_queries(9):
        client.get(reverse("workers"))


def test_the_queries_of_a_worker_do_not_grow(client: Client, django_assert_num_queries) -> None:
    worker = factories.worker()
    for _ in range(6):
        factories.completed_task(by=worker)
    # A campaign each: the boards of five are read, and kept.
    with django_assert_num_queries(23):
        client.get(reverse("worker", args=[worker.pk]))
    with django_assert_num_queries(8):
        client.get(reverse("worker", args=[worker.pk]))


def test_a_persons_own_program_stands_apart_and_has_no_token_to_replace(client: Client) -> None:
    factories.worker("lab-1")
    program, _ = lifecycle.identity_of(factories.user("ada"), now=factories.NOW)
    client.force_login(factories.user(role="operator"))
    fleet_page = client.get(reverse("workers")).text
    machines, programs = fleet_page.split("People’s own programs", 1)
    assert "lab-1" in machines
    assert "ada" not in machines
    assert "<bdi>ada</bdi>" in programs
    # People's programs do not count as machines.
    assert '>0<span class="unit"> of 1</span>' in machines
    page = client.get(reverse("worker", args=[program.pk])).text
    assert "ask and tell" in page
    for of_machines in ("New token", "Latest sessions", "processor"):
        assert of_machines not in page


def test_a_program_whose_account_is_gone_is_still_no_machine(client: Client) -> None:
    person = factories.user("ada")
    program, _ = lifecycle.identity_of(person, now=factories.NOW)
    person.delete()
    assert not Worker.objects.machines().exists()
    machines, programs = client.get(reverse("workers")).text.split("People’s own programs", 1)
    assert "No worker has joined yet" in machines
    assert "an account that is gone" in programs
    page = client.get(reverse("worker", args=[program.pk])).text
    assert "ask and tell" in page
    assert "processor" not in page


def test_the_migration_knows_programs_from_machines_by_who_enrolled_them() -> None:
    person = factories.user("ada")
    lifecycle.identity_of(person, now=factories.NOW)
    person.delete()
    lifecycle.identity_of(factories.user("grace"), now=factories.NOW)
    # An agent that enrolled before such names were refused.
    Worker.objects.filter(pk=factories.worker().pk).update(name="ask:me-too")
    factories.worker("lab-1")
    Worker.objects.update(is_program=False)
    name = "workers.migrations.0005_programs_without_their_person"
    importlib.import_module(name).mark_programs(apps, None)
    assert sorted(Worker.objects.programs().values_list("name", flat=True)) == [
        "ask:ada",
        "ask:grace",
    ]


@time_machine.travel(factories.at(60), tick=False)
def test_open_invitations_are_listed_for_operators_alone(client: Client) -> None:
    operator = factories.user("grace", role="operator")
    lifecycle.invite(now=factories.NOW, label="<b>attic</b>", created_by=operator)
    _, used = lifecycle.invite(now=factories.NOW, label="the cellar")
    lifecycle.enrol(used, now=factories.NOW)
    assert "attic" not in client.get(reverse("workers")).text
    client.force_login(operator)
    page = client.get(reverse("workers")).text
    assert "&lt;b&gt;attic&lt;/b&gt;" in page
    assert "in 23 h" in page
    assert "the cellar" not in page
    client.force_login(factories.user(role="researcher"))
    assert "Open invitations" not in client.get(reverse("workers")).text


def test_an_operator_withdraws_an_invitation_and_nobody_joins_with_it(client: Client) -> None:
    operator = factories.user(role="operator")
    token, secret = lifecycle.invite(now=factories.NOW, label="attic", created_by=operator)
    client.force_login(operator)
    path = reverse("worker-invitation-withdraw", args=[token.pk])
    page = client.post(path, follow=True).text
    assert "The invitation is withdrawn" in page
    with pytest.raises(lifecycle.EnrolmentRefused):
        lifecycle.enrol(secret, now=factories.NOW)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb, entry.target_name) == (operator, "withdraw", "attic")
    assert client.post(path).status_code == 404


def test_a_used_invitation_is_not_withdrawn(client: Client) -> None:
    token, secret = lifecycle.invite(now=factories.NOW, label="attic")
    lifecycle.enrol(secret, now=factories.NOW)
    client.force_login(factories.user(role="operator"))
    path = reverse("worker-invitation-withdraw", args=[token.pk])
    page = client.post(path, follow=True).text
    assert "A worker has joined with attic: disable the worker instead." in page
    assert EnrolmentToken.objects.filter(pk=token.pk).exists()
    assert not AuditEntry.objects.exists()
