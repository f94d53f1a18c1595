"""The form of a new campaign: prefilled values, preview, rows, import, export, clone, errors."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from pytest_django.fixtures import DjangoAssertNumQueries

from campaigns import lifecycle
from campaigns.models import Campaign, CampaignState
from campaigns.search.samplers import SAMPLERS
from campaigns.views.new_campaign_form import SAMPLER_TITLES
from experiments import catalog
from experiments.config_generators import CharLMConfigGenerator
from tests import factories
from tests.pages.campaign_form import (
    FRAGMENT,
    HEADS,
    LR,
    WIDTH,
    edited,
    filled,
    names,
    posted,
    rows,
)
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db
PLAN = catalog.get("train_char_lm").calibration
RECORDED_ON = PLAN.recorded_on if PLAN else ""

UPSIDE_DOWN = {"parameters": [{"name": "lr", "type": "float", "low": 2, "high": 1}]}
IMPOSSIBLE = factories.SMALL_SPACE | {"constraints": ["d_model < 1"]}
HOSTILE = '<script>alert(1)</script> {{ 7*7 }} \u202egnp.exe \' " onload="x"'


def test_the_form_comes_filled_and_shows_what_would_run(researcher: Client) -> None:
    page = researcher.get(reverse("campaign-new")).text
    assert 'value="n_heads"' in page
    assert 'value="cosine, linear, step_decay"' in page
    assert str(CharLMConfigGenerator().generate(42)["lr"]) in page


def test_each_sampler_has_a_title_and_nothing_else_has() -> None:
    assert set(SAMPLER_TITLES) == set(SAMPLERS)


def test_a_filled_form_makes_a_draft_of_its_author(researcher: Client) -> None:
    response = posted(researcher, task_count=7, time_budget_seconds=2.5, base_seed=5)
    campaign = Campaign.objects.get()
    assert response["Location"] == campaign.get_absolute_url()
    assert campaign.state == CampaignState.DRAFT
    assert campaign.owner is not None
    assert campaign.owner.username == "ada"
    assert (campaign.task_count, campaign.time_budget_seconds, campaign.base_seed) == (7, 2.5, 5)
    assert "The draft is saved" in researcher.get(response["Location"]).text


def test_one_click_creates_and_launches_or_leaves_nothing(researcher: Client) -> None:
    response = posted(researcher, then="launch", task_count=3)
    campaign = Campaign.objects.get()
    assert response["Location"] == campaign.get_absolute_url()
    assert (campaign.state, campaign.tasks.count()) == (CampaignState.ACTIVE, 3)
    # The script's own limits are known at the launch alone.
    space = {"parameters": [{"name": "unheard_of", "type": "int", "low": 1, "high": 2}]}
    refused = posted(researcher, then="launch", search_space=json.dumps(space))
    assert refused.status_code == 422
    assert 'id="space-fold" class="panel" open' in refused.text
    assert Campaign.objects.count() == 1


def test_what_is_folded_opens_for_an_error_in_it(researcher: Client) -> None:
    page = researcher.get(reverse("campaign-new")).text
    assert 'id="more-fields" class="panel">' in page
    assert 'id="space-fold" class="panel">' in page
    assert 'id="more-fields" class="panel" open' in posted(researcher, base_seed="many").text
    assert 'id="space-fold" class="panel" open' in posted(researcher, **rows()).text


def test_work_is_preselected_and_the_preview_says_its_steps(researcher: Client) -> None:
    page = researcher.get(reverse("campaign-new")).text
    assert '<option value="work" selected>' in page
    assert f"seconds on the catalog&#x27;s machine ({escape(RECORDED_ON)})" in page
    assert "as much work as 1 m 00 s on the catalog&#x27;s machine" in page
    assert "The same work gives the same value on any machine" in page
    space = catalog.get("train_char_lm").default_search_space
    work = {"budget_kind": "work", "work_amount": 60, "search_space": json.dumps(space)}
    posted(researcher, **work, work_unit="seconds")
    draft = Campaign.objects.get()
    assert (draft.budget_kind, draft.work_unit, draft.work_amount) == ("work", "seconds", 60.0)
    head = researcher.get(draft.get_absolute_url()).text
    assert "work: 60 reference seconds" in head
    assert "as much work as 1 m 00 s" in head
    clone = researcher.get(reverse("campaign-new"), {"clone": draft.pk}).context["form"].typed()
    assert (clone["budget_kind"], clone["work_amount"], clone["work_unit"]) == (
        "work",
        "60",
        "seconds",
    )
    lifecycle.launch(draft, now=factories.NOW)
    head = researcher.get(draft.get_absolute_url()).text
    fewest, most = sorted(draft.tasks.values_list("max_steps", flat=True))[:: draft.task_count - 1]
    assert f"({fewest:,} to {most:,} steps)" in head
    assert "60 reference seconds" in researcher.get(reverse("campaigns")).text
    task = researcher.get(reverse("task", args=draft.tasks.earliest("max_steps").name)).text
    assert f"work: {fewest:,} steps (60 reference seconds)" in task


def test_without_its_cost_a_script_is_offered_steps_and_seconds_are_refused(
    researcher: Client,
) -> None:
    script = factories.uploaded(b"# no DESCRIBE").pk
    page = researcher.get(reverse("campaign-new"), {"script": script}).text
    assert '<option value="steps" selected>' in page
    assert '<option value="seconds"' not in page
    refused = {"budget_kind": "work", "work_unit": "seconds", "script": script}
    for headers, status in (FRAGMENT, 200), ({}, 422):
        response = posted(researcher, headers, **refused)
        assert response.status_code == status
        assert "does not say what a step costs" in response.text
    posted(researcher, **(refused | {"work_unit": "steps", "work_amount": "500"}))
    assert Campaign.objects.get().work_amount == 500


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"work_amount": ""}, "This field is required."),
        ({"work_amount": "nan"}, "Enter a number."),
        ({"work_amount": "1e300"}, "must be a number from 2"),
        ({"work_unit": "flop"}, "Select a valid choice"),
        ({"budget_kind": "flop"}, "Select a valid choice"),
        ({"budget_kind": "time", "time_budget_seconds": ""}, "This field is required."),
    ],
)
def test_a_budget_that_makes_no_sense_is_shown_with_what_to_change(
    researcher: Client, changes: dict[str, Any], sentence: str
) -> None:
    response = posted(
        researcher,
        **({"budget_kind": "work", "work_unit": "steps", "work_amount": "50"} | changes),
    )
    assert response.status_code == 422
    assert sentence in response.text
    assert not Campaign.objects.exists()


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


# --- Rows of the search space --------------------------------------------------------------------


def test_rows_become_the_search_space_of_the_draft(researcher: Client) -> None:
    posted(researcher, **rows(LR, WIDTH, HEADS, constraints=("d_model % n_heads == 0", "")))
    assert Campaign.objects.get().search_space == {
        "parameters": [
            {"name": "lr", "type": "float", "low": 0.0001, "high": 0.01, "log": True},
            {"name": "d_model", "type": "choice", "values": [64, 128, 256]},
            {"name": "n_heads", "type": "int", "low": 1, "high": 5},
        ],
        "constraints": ["d_model % n_heads == 0"],
    }


@pytest.mark.parametrize(
    ("changes", "place", "sentence"),
    [
        ({"low": "a little"}, "p0-errors", "low must be a finite number"),
        ({"low": "1"}, "p0-errors", "low must not be above high (0.01)"),
        ({"low": "0"}, "p0-errors", "low must be above 0 on a log scale"),
        ({"name": "learning rate"}, "p0-errors", "name must be letters, digits and _"),
        ({"name": "n_heads"}, "p0-errors", "name stands in the list twice"),
        ({"type": "choice", "values": "", "was": "choice"}, "p0-errors", "values must be a list"),
        ({"type": "int"}, "p0-errors", "low must be a whole number"),
        ({"decimals": "-1"}, "p0-errors", "decimals must be a whole number from 0 to 15"),
        ({"constraint": "lr <"}, "c0-errors", "cannot be read: &#x27;lr &lt;&#x27;"),
        ({"constraint": "wd > 1"}, "c0-errors", "speaks of wd, which is no parameter"),
        ({"constraint": "lr > 1"}, "space-errors", "broke a constraint: lr &gt; 1"),
    ],
)
@pytest.mark.parametrize("headers", [{}, FRAGMENT])
def test_a_mistake_stands_at_its_row_when_saved_and_while_typed(
    researcher: Client,
    changes: dict[str, str],
    place: str,
    sentence: str,
    headers: dict[str, str],
) -> None:
    constraints = tuple(text for name, text in changes.items() if name == "constraint")
    data = rows(LR | changes, HEADS, constraints=constraints)
    response = posted(researcher, headers, **data)
    marked = response.text.split(f'id="{place}"')[1].split("</ul>")[0]
    assert sentence in marked
    assert response.status_code == (200 if headers else 422)
    assert not Campaign.objects.exists()


def test_no_parameter_at_all_is_said_so(researcher: Client) -> None:
    page = posted(researcher, **rows()).text
    assert "parameters must be a list of 1 to 64 parameters" in page
    assert "No parameter yet. Add one, or import a space below." in page


def test_rows_are_added_moved_and_removed(researcher: Client) -> None:
    data = rows(LR, WIDTH, HEADS)
    assert names(edited(researcher, "up:1", **data)) == ["d_model", "lr", "n_heads"]
    assert names(edited(researcher, "down:0", **data)) == ["d_model", "lr", "n_heads"]
    assert names(edited(researcher, "remove-parameter:1", **data)) == ["lr", "n_heads"]
    assert names(edited(researcher, "add-parameter", **data)) == ["lr", "d_model", "n_heads", ""]
    assert "c0-text" in edited(researcher, "add-constraint", **data)


def test_a_new_row_is_not_scolded_before_anything_is_typed(researcher: Client) -> None:
    page = edited(researcher, "add-parameter", **rows(LR))
    assert "must be letters" not in page
    assert "The search space is not complete" in page


def test_what_else_was_typed_survives_an_edit_without_complaints(researcher: Client) -> None:
    page = edited(researcher, "up:1", **rows(LR, WIDTH), name="", task_count="many")
    assert 'value="many"' in page
    assert "This field is required" not in page


def test_without_javascript_an_edit_shows_the_whole_page(researcher: Client) -> None:
    page = posted(researcher, edit="up:1", **rows(LR, WIDTH)).text
    assert "<!doctype html>" in page
    assert names(page) == ["d_model", "lr"]


def test_rows_become_json_and_json_becomes_rows(researcher: Client) -> None:
    page = edited(researcher, "json", **rows(LR, WIDTH))
    assert (
        escape('{"name": "lr", "type": "float", "low": 0.0001, "high": 0.01, "log": true}') in page
    )
    text = json.dumps(factories.SMALL_SPACE)
    page = edited(researcher, "rows", space_mode="json", search_space=text)
    assert names(page) == ["lr", "d_model"]


def test_json_that_is_none_stays_as_it_was_typed(researcher: Client) -> None:
    page = edited(researcher, "rows", space_mode="json", search_space='{"a": ')
    assert "{&quot;a&quot;: " in page
    assert "this is not JSON" in page


def test_another_type_shows_its_own_fields(researcher: Client) -> None:
    page = edited(researcher, "type", **rows(LR | {"type": "choice", "was": "float"}))
    assert 'value="1e-4, 1e-2"' in page
    assert "p0-low" not in page


# --- Who, how many queries, and hostile text -----------------------------------------------------


def test_only_researchers_and_operators_see_the_form(client: Client) -> None:
    paths = [reverse("campaign-new"), reverse("campaign-new-space")]
    for path in paths:
        assert client.post(path, filled()).status_code == 302
    client.force_login(factories.user(role=roles.VIEWER))
    for path in paths:
        response = client.post(path, filled(), headers=FRAGMENT)
        assert response.status_code == 403
        assert "Only researchers and operators may create campaigns" in response.text
    assert client.get(reverse("campaign-new")).status_code == 403
    client.force_login(factories.user(role=roles.OPERATOR))
    assert client.get(reverse("campaign-new")).status_code == 200


def test_the_page_and_its_fragments_need_few_queries(
    researcher: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    # On PostgreSQL the clock is read, too.
    clock = 1 if connection.vendor == "postgresql" else 0
    with django_assert_max_num_queries(14 + clock):
        researcher.get(reverse("campaign-new"))
    with django_assert_max_num_queries(12 + clock):
        posted(researcher, FRAGMENT, **rows(LR, WIDTH))
    with django_assert_max_num_queries(16 + clock):
        edited(researcher, "add-parameter", **rows(LR, WIDTH))


def test_hostile_text_is_shown_verbatim_wherever_it_is_typed(researcher: Client) -> None:
    row = {"name": HOSTILE, "type": "choice", "values": f"{HOSTILE}, 2"}
    data = rows(row, LR | {"low": HOSTILE}, constraints=(HOSTILE,)) | {"name": HOSTILE}
    sweep = f"parameters: [{HOSTILE}]"
    pages = [
        posted(researcher, **(data | {"task_count": HOSTILE})).text,
        edited(researcher, "add-parameter", **data),
        edited(researcher, "json", **data),
        edited(researcher, "import", **data, import_text=sweep),
        edited(researcher, "rows", space_mode="json", search_space=HOSTILE),
    ]
    for page in pages:
        assert escape(HOSTILE) in page
        assert "<script>alert" not in page
        assert 'onload="x"' not in page


def test_hostile_values_and_notes_are_shown_verbatim(researcher: Client) -> None:
    text = json.dumps({"parameters": {"x": {"values": [HOSTILE]}}, HOSTILE: 1})
    page = edited(researcher, "import", **rows(LR), import_text=text)
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; {{ 7*7 }}") >= 3
    assert "<script>alert" not in page
