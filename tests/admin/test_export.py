"""Export of results in the admin as CSV and JSON: filtered, and safe in a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests import factories
from xeenet_site.web import roles

pytestmark = pytest.mark.django_db

EXPORT = "admin:campaigns_result_export"
CSV, JSON = "0", "1"


def exported(client: Client, file_format: str, query: str = "") -> Any:
    return client.post(reverse(EXPORT) + query, {"format": file_format, "resource": ""})


def rows(response: Any) -> list[dict[str, str]]:
    assert response["Content-Type"].startswith("text/csv")
    assert "attachment" in response["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(response.text)))


def test_the_list_leads_to_the_form_and_the_form_offers_two_formats(operator: Client) -> None:
    factories.completed_task()
    assert reverse(EXPORT) in operator.get(reverse("admin:campaigns_result_changelist")).text
    form = operator.get(reverse(EXPORT))
    assert form.status_code == 200
    assert [label for value, label in form.context["form"].fields["format"].choices if value] == [
        "csv",
        "json",
    ]


def test_a_csv_file_has_a_row_per_result_with_its_origin(operator: Client) -> None:
    task = factories.completed_task(3.125, by=factories.worker("lab-1"), name="width study")
    (row,) = rows(exported(operator, CSV))
    assert (row["campaign"], row["task"], row["seed"]) == ("width study", "0", str(task.seed))
    assert (row["val_bpb"], row["worker"], row["is_ranked"]) == ("3.125", "lab-1", "True")
    assert '"lr": ' in row["params"]


def test_a_json_file_keeps_numbers_as_numbers_and_params_as_an_object(operator: Client) -> None:
    task = factories.completed_task(3.125)
    (row,) = exported(operator, JSON).json()
    assert (row["val_bpb"], row["seed"], row["simulated"]) == (3.125, task.seed, False)
    assert row["params"] == task.params
    # val_bpb can be recomputed from these two.
    assert (row["eval_nll_nats"], row["eval_bytes"]) == (
        task.result.eval_nll_nats,
        task.result.eval_bytes,
    )


def test_no_cell_is_a_formula(operator: Client) -> None:
    for name in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx"):
        factories.completed_task(name=f"{name}|cmd")
    names = {row["campaign"] for row in rows(exported(operator, CSV))}
    assert {"'=1+1|cmd", "'+1|cmd", "'-1|cmd", "'@SUM(A1)|cmd"} <= names
    assert not [name for name in names if name[0] in "=+-@\t"]


def test_the_file_holds_what_the_filter_leaves(operator: Client) -> None:
    factories.completed_task(name="kept")
    factories.completed_task(name="left out")
    filtered = rows(exported(operator, CSV, "?q=kept"))
    assert [row["campaign"] for row in filtered] == ["kept"]


def test_the_queries_of_a_file_do_not_grow_with_its_rows(
    operator: Client, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        factories.completed_task()
    with django_assert_num_queries(3):  # session, user, rows
        exported(operator, CSV)


@pytest.mark.parametrize("role", [roles.VIEWER, roles.RESEARCHER])
def test_who_may_not_see_the_list_gets_no_file(client: Client, role: str) -> None:
    assert exported(client, CSV).status_code == 302
    client.force_login(factories.user(role=role))
    assert exported(client, CSV).status_code == 302
    client.force_login(factories.user(is_staff=True))  # staff without permissions
    assert exported(client, CSV).status_code == 403
