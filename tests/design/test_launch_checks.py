"""Before the launch: what no task could run is refused, with what to change."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.datasets import size_of_known, store_dataset
from campaigns.design.previews import preview
from campaigns.lifecycle import InvalidCampaign
from campaigns.lifecycle.launch_checks import campaign_warnings, fit_problems
from campaigns.models import Campaign, CampaignState
from campaigns.search.space import SearchSpace
from campaigns.search.steps import LAUNCH_STEPS
from experiments import catalog
from tests import factories
from tests.clients import researcher_client

EXPERIMENT = catalog.get("train_char_lm")
OWN_SPACE = EXPERIMENT.default_search_space
SMALL_CONFIG: dict[str, Any] = {
    "lr": 0.001,
    "lr_schedule": "cosine",
    "seed": 1,
    "time_budget_seconds": 5,
    "n_layers": 2,
    "n_heads": 2,
    "d_model": 64,
    "d_ff": 128,
    "batch_size": 4,
}


def space(*parameters: dict[str, Any], constraints: tuple[str, ...] = ()) -> SearchSpace:
    """A space of these parameters."""
    body = {"parameters": list(parameters), "constraints": list(constraints)}
    return SearchSpace.parse(body)


def context(*values: int) -> dict[str, Any]:
    """A choice of contexts."""
    return {"name": "context_length", "type": "choice", "values": list(values)}


def problems(searched: SearchSpace, dataset_bytes: int, *, is_uploaded: bool = False) -> list[str]:
    """The sentences about a campaign on a data set of this size."""
    found = fit_problems(
        searched,
        "train_char_lm",
        dataset="notes",
        dataset_bytes=dataset_bytes,
        is_uploaded=is_uploaded,
    )
    return [sentence for sentences in found.values() for sentence in sentences]


@pytest.mark.parametrize(
    ("searched", "dataset_bytes", "sentence"),
    [
        (space(context(128, 256)), 3, "3 bytes, too few to hold a part back for validation"),
        (space(context(128, 256)), 511, "it needs at least 512"),
        (space(context(128, 256)), 300, "or a context_length of at most 150"),
        (
            space({"name": "context_length", "type": "int", "low": 8, "high": 1024}),
            2_047,
            "too few for a context_length of 1024: it needs at least 2,048",
        ),
    ],
)
def test_a_data_set_too_short_for_the_largest_context_is_told(
    searched: SearchSpace, dataset_bytes: int, sentence: str
) -> None:
    (told,) = problems(searched, dataset_bytes)
    assert sentence in told
    assert problems(searched, dataset_bytes, is_uploaded=True) == [told]


@pytest.mark.parametrize(
    ("searched", "dataset_bytes"),
    [
        (space(context(128, 256)), 512),
        (space(context(128, 256), constraints=("context_length < 200",)), 256),
        (space({"name": "lr", "type": "float", "low": 0.1, "high": 1.0}), 11),
    ],
)
def test_a_data_set_that_is_long_enough_is_not(searched: SearchSpace, dataset_bytes: int) -> None:
    assert problems(searched, dataset_bytes) == []


@pytest.mark.parametrize(
    ("dataset_bytes", "context_length"),
    [*((size, 8) for size in (3, 11, 15, 16, 17, 100)), *((size, 1) for size in (2, 3, 10, 11))],
)
def test_the_catalog_and_the_script_agree_on_data_that_is_too_short(
    tmp_path: Path, dataset_bytes: int, context_length: int
) -> None:
    text = b"abcdefghij" * 10
    sha256 = hashlib.sha256(text[:dataset_bytes]).hexdigest()
    (tmp_path / catalog.dataset_cache_name("notes", sha256)).write_bytes(text[:dataset_bytes])
    config = SMALL_CONFIG | {"dataset": "notes", "dataset_sha256": sha256}
    is_long = EXPERIMENT.longest_context(dataset_bytes) >= context_length
    run = run_script(tmp_path, config | {"context_length": context_length})
    assert run.returncode == (0 if is_long else 2), run.stderr


def test_the_catalog_and_the_script_agree_on_the_params_that_it_knows(tmp_path: Path) -> None:
    config = SMALL_CONFIG | {name: [] for name in EXPERIMENT.known_params}
    told = run_script(tmp_path, config | {"warmup": 1}).stderr
    assert [name for name in config if f"{name} is unknown" in told] == []
    assert "warmup is unknown" in told


def run_script(folder: Path, config: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Let the script read its config and prepare the data, which needs no torch."""
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    command = [sys.executable, str(EXPERIMENT.script_path), "--config-file", str(file), "--prepare"]
    environment = {"XEENET_DATA_DIR": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_params_that_the_script_does_not_know_are_named() -> None:
    unknown = space({"name": "warmup", "type": "int", "low": 1, "high": 2}, context(8))
    (told,) = problems(unknown, 1_000)
    assert "does not know warmup, and would refuse to run. Remove" in told
    assert "Known are: lr, d_model" in told
    # Only its author knows what an uploaded script reads.
    assert problems(unknown, 1_000, is_uploaded=True) == []
    assert problems(space({"name": "threads", "type": "int", "low": 1, "high": 2}), 1_000) == []


@pytest.mark.django_db
class TestLaunch:
    def test_is_refused_where_no_task_could_run(self) -> None:
        dataset = store_dataset("notes", b"abc")
        unknown = {"parameters": [{"name": "warmup", "type": "int", "low": 1, "high": 2}]}
        draft = factories.campaign(search_space=unknown, dataset=dataset.sha256)
        with pytest.raises(InvalidCampaign) as refused:
            lifecycle.launch(draft, now=factories.NOW)
        assert set(refused.value.errors) == {"search_space", "dataset"}
        draft.refresh_from_db()
        assert (draft.state, draft.tasks.count()) == (CampaignState.DRAFT, 0)

    def test_is_refused_with_the_sentence_over_the_api_which_warned_of_it(self) -> None:
        dataset = store_dataset("notes", b"abc" * 100)
        draft = factories.campaign(search_space=OWN_SPACE, dataset=dataset.sha256)
        client, owner = researcher_client()
        Campaign.objects.filter(pk=draft.pk).update(owner=owner)
        (warning,) = client.get(f"/api/v1/campaigns/{draft.pk}").json()["warnings"]
        assert warning.startswith("It cannot be launched. notes has 300 bytes, too few for")
        reply = client.post(f"/api/v1/campaigns/{draft.pk}/launch")
        assert reply.status_code == 400
        assert "a context_length of at most 150" in reply.json()["fields"]["dataset"][0]

    def test_is_refused_on_the_command_line(self, tmp_path: Path, settings: Any) -> None:
        settings.MEDIA_ROOT = tmp_path / "media"
        file = tmp_path / "notes.txt"
        file.write_text("abc")
        arguments = ("tiny", "--dataset-file", str(file), "--tasks", "4")
        with pytest.raises(CommandError, match="notes has 3 bytes, too few"):
            call_command("create_campaign", *arguments, "--launch")
        assert not Campaign.objects.exists()
        told = StringIO()
        call_command("create_campaign", *arguments, stderr=told, stdout=StringIO())
        assert "It cannot be launched. notes has 3 bytes" in told.getvalue()

    def test_tells_of_params_that_differ(self, tmp_path: Path) -> None:
        file = tmp_path / "space.json"
        file.write_text(json.dumps(factories.SMALL_SPACE))
        told = StringIO()
        call_command("create_campaign", "small", "--space", file, stderr=told, stdout=StringIO())
        assert "Missing from the experiment's own space: n_heads, lr_schedule" in told.getvalue()
        launched = StringIO()
        pk = Campaign.objects.get().pk
        call_command("campaign", "launch", str(pk), stderr=launched, stdout=StringIO())
        assert "Missing from the experiment's own space" in launched.getvalue()
        assert "cannot be launched" not in launched.getvalue()

    def test_draws_no_more_than_its_steps_pay_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        draft = factories.campaign(
            task_count=100,
            search_space=factories.SMALL_SPACE | {"constraints": ["lr * d_model > 0"]},
        )
        monkeypatch.setattr("campaigns.lifecycle.arms.LAUNCH_STEPS", 500)
        with pytest.raises(InvalidCampaign, match="takes more than 500 steps; they are enough"):
            lifecycle.launch(draft, now=factories.NOW)
        monkeypatch.undo()
        assert LAUNCH_STEPS > 500
        lifecycle.launch(draft, now=factories.NOW)
        assert draft.tasks.count() == 100


@pytest.mark.django_db
def test_the_preview_says_what_the_launch_would_refuse() -> None:
    dataset = store_dataset("notes", b"abc" * 100)
    values = {
        "search_space": OWN_SPACE,
        "task_count": 2,
        "sampler": "random",
        "base_seed": 1,
        "experiment": "train_char_lm",
        "time_budget_seconds": 10,
        "allow_simulated": False,
    }
    for name in ("notes", dataset.sha256):
        shown = preview(values | {"dataset": name}, now=factories.NOW)
        assert shown.warnings[0].startswith("It cannot be launched. ")
        assert "300 bytes" in shown.warnings[0]
    assert preview(values, now=factories.NOW).warnings == []


@pytest.mark.django_db
def test_a_data_set_whose_size_is_not_known_is_not_judged() -> None:
    store_dataset("notes", b"abc")
    assert size_of_known("notes") == 3
    store_dataset("notes", b"abcd")
    assert size_of_known("notes") is None
    assert size_of_known("") is None
    assert size_of_known("tinyshakespeare") == 1_115_394


@pytest.mark.django_db
def test_a_launched_campaign_is_only_warned_of_its_params() -> None:
    launched = factories.active_campaign(1)
    assert [warning[:12] for warning in campaign_warnings(launched)] == [
        "Missing from",
        "A script may",
    ]


@pytest.mark.django_db
def test_strangers_see_the_warnings_with_the_campaign() -> None:
    draft = factories.campaign()
    reply = APIClient().get(f"/api/v1/campaigns/{draft.pk}").json()
    assert reply["warnings"][0].startswith("Missing from")
