"""``manage.py create_campaign``."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from campaigns.fleet.speeds import recorded_model
from campaigns.models import Campaign, CampaignState, Dataset
from tests import factories

pytestmark = pytest.mark.django_db


def create(*arguments: Any, **options: Any) -> str:
    output = StringIO()
    call_command("create_campaign", *arguments, stdout=output, **options)
    return output.getvalue()


def test_a_draft_is_made_with_the_defaults_of_its_experiment() -> None:
    hints = StringIO()
    output = create("first question", stderr=hints)
    campaign = Campaign.objects.get()
    assert campaign.state == CampaignState.DRAFT
    assert campaign.dataset.name == "tinyshakespeare"
    assert (campaign.task_count, campaign.time_budget_seconds, campaign.base_seed) == (10, 60, 42)
    assert campaign.owner is None
    assert "each worker downloads it for itself" in hints.getvalue()
    assert f"Campaign {campaign.pk} is draft" in output
    assert campaign.get_absolute_url() in output


@pytest.mark.parametrize(
    ("arguments", "races", "effect"),
    [
        (("--tasks", "29"), False, 0.01),
        (("--tasks", "30"), True, 0.01),
        (("--tasks", "30", "--no-race"), False, 0.01),
        (("--race", "--min-effect", "0.5"), True, 0.5),
    ],
)
def test_a_campaign_races_by_itself_from_thirty_tasks_on_or_as_told(
    arguments: tuple[str, ...], races: bool, effect: float
) -> None:
    create("third question", *arguments)
    campaign = Campaign.objects.get()
    assert (campaign.races_automatically, campaign.min_effect) == (races, effect)


def test_every_argument_reaches_the_campaign_and_launch_makes_the_tasks(tmp_path: Path) -> None:
    owner = factories.user("ada")
    space = tmp_path / "space.json"
    space.write_text(json.dumps(factories.SMALL_SPACE))
    create(
        "second",
        *("--tasks", "4", "--budget", "7.5", "--seed", "100", "--space", str(space)),
        *("--dataset", "english_like", "--owner", "ada", "--description", "why"),
        *("--allow-simulated", "--max-failed-attempts", "3", "--max-lost-attempts", "6"),
        "--launch",
    )
    campaign = Campaign.objects.get()
    assert campaign.state == CampaignState.ACTIVE
    assert campaign.owner == owner
    assert campaign.search_space == factories.SMALL_SPACE
    assert campaign.dataset.name == "english_like"
    assert campaign.allow_simulated
    assert (campaign.max_failed_attempts, campaign.max_lost_attempts) == (3, 6)
    assert campaign.description == "why"
    assert list(campaign.tasks.values_list("seed", flat=True)) == [100] * 4


def test_a_file_becomes_the_data_set_under_a_name_scripts_accept(
    tmp_path: Path, settings: Any
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    file = tmp_path / ".my notes (old).txt"
    file.write_text("all that I ever wrote " * 100)
    hints = StringIO()
    create("on my notes", "--dataset-file", str(file), stderr=hints)
    assert hints.getvalue() == ""
    dataset = Campaign.objects.get().dataset
    assert dataset.name == "my-notes-old-"
    assert Path(dataset.file.path).read_bytes() == file.read_bytes()


def test_all_that_is_wrong_is_said_by_field_and_nothing_is_made() -> None:
    with pytest.raises(CommandError) as info:
        create("wrong", "--tasks", "0", "--dataset", "nothing", "--launch")
    assert "task_count: " in str(info.value)
    assert "dataset: " in str(info.value)
    assert not Campaign.objects.exists()


def test_a_space_with_too_few_points_leaves_no_draft_behind(tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    one_point = {"name": "d_model", "type": "choice", "values": [6]}
    divisor = {"name": "n_heads", "type": "choice", "values": [4]}
    space.write_text(
        json.dumps({"parameters": [one_point, divisor], "constraints": ["d_model % n_heads == 0"]})
    )
    with pytest.raises(CommandError, match="search_space"):
        create("empty", "--space", str(space), "--launch")
    assert not Campaign.objects.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "Cannot read"),
        (b"{", "this is not JSON"),
        (b"a: [", "this is not YAML"),
        (b"[]", "no search space"),
        (b"\xff", "no text in UTF-8"),
    ],
)
def test_a_file_that_is_not_a_search_space_is_refused(
    text: bytes | None, words: str, tmp_path: Path
) -> None:
    space = tmp_path / "space.json"
    if text is not None:
        space.write_bytes(text)
    with pytest.raises(CommandError, match=words):
        create("no space", "--space", str(space))


SWEEP = """
method: grid
run_cap: 6
description: which width
program: train.py
parameters:
  d_model: {values: [64, 128, 256]}
  n_layers: {min: 2, max: 3}
"""


def test_a_sweep_of_w_and_b_is_a_search_space_too(tmp_path: Path) -> None:
    space, notes = tmp_path / "sweep.yaml", StringIO()
    space.write_text(SWEEP)
    create("from a sweep", "--space", str(space), "--launch", stderr=notes)
    campaign = Campaign.objects.get()
    assert (campaign.sampler, campaign.task_count) == ("grid", 6)
    assert campaign.description == "which width"
    assert [
        tuple(params.values()) for params in campaign.tasks.values_list("params", flat=True)
    ] == [(width, layers) for width in (64, 128, 256) for layers in (2, 3)]
    assert "no use for it: program" in notes.getvalue()


def test_what_is_said_on_the_command_line_goes_before_the_sweep(tmp_path: Path) -> None:
    space = tmp_path / "sweep.yaml"
    space.write_text(SWEEP)
    create("mine", "--space", str(space), "--tasks", "4", "--sampler", "random", stderr=StringIO())
    campaign = Campaign.objects.get()
    assert (campaign.sampler, campaign.task_count) == ("random", 4)


def test_a_space_that_no_grid_can_count_is_refused_before_it_is_stored() -> None:
    with pytest.raises(CommandError, match="sampler: A grid cannot count the values of lr"):
        create("endless", "--sampler", "grid")
    assert not Campaign.objects.exists()


def test_an_unknown_owner_is_refused() -> None:
    with pytest.raises(CommandError, match=r"no user 'nobody'.*createsuperuser"):
        create("whose", "--owner", "nobody")


def test_a_data_set_is_named_or_given_but_not_both(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not both"):
        create("two", "--dataset", "english_like", "--dataset-file", str(tmp_path))
    assert not Dataset.objects.exists()


def test_a_data_set_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"Cannot read the data set .*missing\.txt"):
        create("gone", "--dataset-file", str(tmp_path / "missing.txt"))


def test_a_preview_tells_what_would_run_and_stores_nothing(tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    space.write_text(json.dumps(factories.SMALL_SPACE))

    preview = json.loads(create("x", "--preview", "--space", str(space), "--tasks", "3"))

    assert [config["seed"] for config in preview["configs"]] == [42, 42, 42]
    assert preview["survey"]["combinations"] == 3
    assert preview["forecast"]["compute_seconds"] == 180
    assert not Campaign.objects.exists()
    with pytest.raises(CommandError, match="sampler"):
        create("x", "--preview", "--sampler", "luck")


def test_work_is_given_instead_of_time() -> None:
    assert "10 tasks of 60 reference seconds on" in create("work", "--work", "60", "--launch")
    launched = Campaign.objects.get()
    assert (launched.budget_kind, launched.work_unit, launched.work_amount) == (
        "work",
        "seconds",
        60.0,
    )
    recorded = recorded_model("train_char_lm")
    assert recorded is not None
    assert launched.cost_model["reference"] == recorded.reference
    assert "of 500 steps on" in create("steps", "--work", "500", "--work-unit", "steps")
    plan = json.loads(create("plan", "--work", "60", "--preview"))["work"]
    assert plan["origin"] == recorded.origin
    assert 2 <= plan["fewest_steps"] < plan["most_steps"]
    # Steps are whole, and the size of a data set that the server does not hold is unknown.
    assert plan["seconds"] == pytest.approx(60, rel=0.02)
    for options, words in (
        (("--work", "60", "--budget", "60"), "a work budget has no time"),
        (("--work", "nan"), "work_amount: must be a number"),
        (("--work-unit", "steps"), "--work-unit belongs to --work"),
    ):
        with pytest.raises(CommandError, match=words):
            create("refused", *options)
