"""``manage.py export_results``."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from campaigns.exports import rows as export_rows
from campaigns.models import Campaign
from tests import factories
from xeenet_site.web.csv_text import csv_lines

pytestmark = pytest.mark.django_db


def export(*arguments: Any, **options: Any) -> str:
    output = StringIO()
    call_command("export_results", *arguments, stdout=output, **options)
    return output.getvalue()


@pytest.fixture
def campaign() -> Campaign:
    """Two measured results and a simulated one."""
    exported = factories.active_campaign(3, allow_simulated=True, name="=cmd()")
    factories.finish(factories.claim_one(factories.worker("@home")), 3.2)
    factories.finish(factories.claim_one(factories.worker()), 3.1, dtype="+bf16")
    factories.run(1.5, seconds=0, simulated=True)
    return exported


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_csv_has_one_line_per_measured_result_with_params_and_counters(
    campaign: Campaign,
) -> None:
    first, second = rows(export(campaign.pk))
    assert float(first["val_bpb"]) == pytest.approx(3.2)
    assert float(second["val_bpb"]) == pytest.approx(3.1)
    assert first["param.d_model"] in {"64", "128", "256"}
    assert first["script_sha256"] == campaign.package_id
    assert first["dataset_sha256"] == campaign.dataset_id
    assert (first["seed"], second["seed"]) == ("42", "42")
    assert (first["arm"], second["arm"]) == ("0", "1")
    assert (first["seed_index"], second["seed_index"]) == ("0", "0")
    assert first["simulated"] == "False"


def test_cells_that_a_spreadsheet_would_run_are_quoted(campaign: Campaign) -> None:
    first, second = rows(export(campaign.pk))
    assert first["campaign"] == "'=cmd()"
    assert first["worker"] == "'@home"
    assert second["dtype"] == "'+bf16"


def test_numbers_below_zero_stay_numbers() -> None:
    assert list(csv_lines(["a"], [[-1.5], ["-1.5"]])) == ["a\r\n", "-1.5\r\n", "'-1.5\r\n"]


def test_json_lines_keep_texts_as_they_are_and_params_together(campaign: Campaign) -> None:
    lines = [json.loads(line) for line in export(campaign.pk, "--format", "jsonl").splitlines()]
    assert [line["task"] for line in lines] == [0, 1]
    assert lines[0]["campaign"] == "=cmd()"
    assert set(lines[0]["params"]) == {"lr", "d_model"}


def test_simulated_results_come_only_when_asked_for_and_say_so(campaign: Campaign) -> None:
    with_simulated = rows(export(campaign.pk, "--simulated"))
    assert [row["simulated"] for row in with_simulated] == ["False", "False", "True"]


def test_a_campaign_without_results_gives_a_head_alone() -> None:
    factories.campaign()
    text = export()
    assert text.startswith("campaign_id,campaign,experiment,")
    assert rows(text) == []


def test_a_file_is_written_whole(campaign: Campaign, tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    assert export(campaign.pk, "--out", str(target), stderr=StringIO()) == ""
    assert target.read_bytes() == export(campaign.pk).encode()


def test_a_file_that_cannot_be_written_is_refused(campaign: Campaign, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Cannot write"):
        export(campaign.pk, "--out", str(tmp_path / "no folder" / "x.csv"))


def test_the_number_of_queries_does_not_grow_with_the_results(
    campaign: Campaign, django_assert_num_queries: Any
) -> None:
    # On PostgreSQL the statement timeout is raised and reset around the query.
    with django_assert_num_queries(3 if connection.vendor == "postgresql" else 1):
        assert len(list(export_rows.json_lines(campaign, simulated=True))) == 3
