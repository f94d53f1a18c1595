"""The form of a new campaign filled from elsewhere: a sweep, a file, a clone; and its export."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign
from campaigns.search.sweep_files import MAX_TEXT_CHARACTERS
from tests import factories
from tests.pages.campaign_form import (
    HEADS,
    LR,
    WIDTH,
    edited,
    filled,
    names,
    posted,
    rows,
)

pytestmark = pytest.mark.django_db


SWEEP = """
name: width against rate
method: bayes
run_cap: 12
parameters:
  lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  d_model: {values: [64, 128]}
"""


def test_a_pasted_sweep_becomes_rows_and_says_what_differs(researcher: Client) -> None:
    page = edited(researcher, "import", **rows(HEADS), import_text=SWEEP)
    assert names(page) == ["lr", "d_model"]
    assert "width against rate" in page
    assert 'value="12"' in page
    assert "random takes its place" in page


def test_a_file_is_read_before_the_pasted_text(researcher: Client) -> None:
    file = SimpleUploadedFile("space.json", json.dumps(factories.SMALL_SPACE).encode())
    page = edited(researcher, "import", **rows(HEADS), import_text=SWEEP, import_file=file)
    assert names(page) == ["lr", "d_model"]
    assert "everything in it is taken over" in page


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "This is no search space"),
        (b"\xff\xfe\x00", "what YAML does not allow"),
        ("parameters: {opt: {parameters: {lr: {value: 1}}}}", "a space here is flat"),
        (b"x" * (5 * MAX_TEXT_CHARACTERS), "longer than 100,000 characters"),
    ],
)
def test_what_cannot_be_imported_is_told_and_the_rows_stay(
    researcher: Client, text: str | bytes, sentence: str
) -> None:
    fields: dict[str, Any] = (
        {"import_text": text}
        if isinstance(text, str)
        else {"import_file": SimpleUploadedFile("space", text)}
    )
    page = edited(researcher, "import", **rows(LR), **fields)
    assert sentence in page
    assert names(page) == ["lr"]


def test_the_typed_space_is_downloaded_as_json(researcher: Client) -> None:
    response = researcher.post(reverse("campaign-new-space"), filled(**rows(LR, WIDTH)))
    assert response["Content-Disposition"] == 'attachment; filename="search-space.json"'
    assert [parameter["name"] for parameter in response.json()["parameters"]] == ["lr", "d_model"]
    broken = researcher.post(reverse("campaign-new-space"), filled(**rows(LR | {"low": ""})))
    assert broken.status_code == 422
    assert "low must be a finite number" in broken.text


def test_the_space_of_a_campaign_is_downloaded_as_json(client: Client) -> None:
    campaign = factories.campaign()
    response = client.get(reverse("campaign-space", args=[campaign.pk]))
    assert response.json() == factories.SMALL_SPACE
    assert f"campaign-{campaign.pk}-space.json" in response["Content-Disposition"]


def test_a_clone_starts_with_everything_the_campaign_has(researcher: Client) -> None:
    original = factories.campaign(
        name="first",
        task_count=33,
        time_budget_seconds=4.5,
        base_seed=7,
        dataset="english_like",
        description="why",
        max_failed_attempts=4,
        max_lost_attempts=9,
        allow_simulated=True,
    )
    page = researcher.get(reverse("campaign-new"), {"clone": original.pk})
    form = page.context["form"]
    posted(researcher, **form.typed())
    clone = Campaign.objects.exclude(pk=original.pk).get()
    assert clone.name == "first (copy)"
    for field in ("task_count", "time_budget_seconds", "base_seed", "dataset", "description"):
        assert getattr(clone, field) == getattr(original, field)
    for field in ("max_failed_attempts", "max_lost_attempts", "allow_simulated", "search_space"):
        assert getattr(clone, field) == getattr(original, field)


@pytest.mark.parametrize("pk", ["0", "-1", "one", "9" * 30, "٣"])
def test_what_is_no_campaign_cannot_be_cloned(researcher: Client, pk: str) -> None:
    assert researcher.get(reverse("campaign-new"), {"clone": pk}).status_code == 404
