"""The form of a new campaign: prefilled, with a preview, and errors at the field they are about."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns.forms import CampaignForm
from campaigns.models import Campaign, CampaignState
from experiments.config_generators import CharLMConfigGenerator
from tests import factories

pytestmark = pytest.mark.django_db

UPSIDE_DOWN = {"parameters": [{"name": "lr", "type": "float", "low": 2, "high": 1}]}
IMPOSSIBLE = factories.SMALL_SPACE | {"constraints": ["d_model < 1"]}
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def researcher(client: Client) -> Client:
    client.force_login(factories.user("ada"))
    return client


def filled(**changes: Any) -> dict[str, Any]:
    form = CampaignForm()
    values = {name: field.initial for name, field in form.fields.items() if field.initial}
    return (
        values
        | {"name": "What does width buy?", "experiment": "train_char_lm", "sampler": "random"}
        | changes
    )


def posted(client: Client, headers: dict[str, str] | None = None, **changes: Any) -> Any:
    return client.post(reverse("campaign-new"), filled(**changes), headers=headers or {})


def test_the_form_comes_filled_and_shows_what_would_run(researcher: Client) -> None:
    page = researcher.get(reverse("campaign-new")).text
    assert 'value="n_heads"' in page
    assert 'value="cosine, linear, step_decay"' in page
    assert str(CharLMConfigGenerator().generate(42)["lr"]) in page


def test_a_filled_form_makes_a_draft_of_its_author(researcher: Client) -> None:
    response = posted(researcher, task_count=7, time_budget_seconds=2.5, base_seed=5)
    campaign = Campaign.objects.get()
    assert response["Location"] == campaign.get_absolute_url()
    assert campaign.state == CampaignState.DRAFT
    assert campaign.owner is not None
    assert campaign.owner.username == "ada"
    assert (campaign.task_count, campaign.time_budget_seconds, campaign.base_seed) == (7, 2.5, 5)
    assert "The draft is saved" in researcher.get(response["Location"]).text


def test_the_offline_corpus_can_be_chosen(researcher: Client) -> None:
    posted(researcher, dataset="english_like")
    assert Campaign.objects.get().dataset.name == "english_like"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": " "}, "This field is required."),
        ({"task_count": 0}, "greater than or equal to 1"),
        ({"task_count": 10**9}, "must be from 1 to 100,000"),
        ({"time_budget_seconds": "nan"}, "Enter a number."),
        ({"time_budget_seconds": -1}, "greater than or equal to 0.1"),
        ({"base_seed": 2**31 - 2}, "with the task numbers"),
        ({"dataset": "unheard-of"}, "Select a valid choice"),
        ({"search_space": "{"}, "this is not JSON"),
        ({"search_space": "[" * 100_000}, "nested too deeply"),
        ({"search_space": "[]"}, "must be an object"),
        ({"search_space": json.dumps(UPSIDE_DOWN)}, "parameters.lr.low must not be above high"),
        ({"search_space": json.dumps(IMPOSSIBLE)}, "broke a constraint"),
        ({"name": "nul \0 byte"}, "Null characters are not allowed"),
    ],
)
def test_a_mistake_is_told_in_the_form_and_nothing_is_stored(
    researcher: Client, changes: dict[str, Any], sentence: str
) -> None:
    response = posted(researcher, **changes)
    assert response.status_code == 422
    assert sentence in response.text
    assert not Campaign.objects.exists()


def test_what_was_typed_is_still_there_after_a_mistake(researcher: Client) -> None:
    page = posted(researcher, search_space='{"mine": 1', name="My <name>").text
    assert "{&quot;mine&quot;: 1" in page
    assert "My &lt;name&gt;" in page


def test_htmx_previews_the_configs_of_the_form_as_it_stands(researcher: Client) -> None:
    page = posted(researcher, FRAGMENT, name="", base_seed=48).text
    assert "<form" not in page
    assert str(CharLMConfigGenerator().generate(48)["lr"]) in page
    assert "The first 5 of" in page
    assert not Campaign.objects.exists()


def test_the_preview_says_why_there_is_none(researcher: Client) -> None:
    assert "Search space: Line 1" in posted(researcher, FRAGMENT, search_space="{").text
