"""The files of results: the same bytes as when each row was an object with its relations."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from import_export.fields import Field

from campaigns import lifecycle
from campaigns.admin.export import JSON, ResultResource, SafeCSV
from campaigns.exports.rows import MEASURED, csv_lines, json_lines, note_text
from campaigns.models import Attempt, Campaign, Result, Task
from experiments.metrics import VAL_BPB
from tests.factories import (
    NOW,
    active_campaign,
    at,
    cancelled_task,
    claim_one,
    completed_task,
    decided_race,
    failed_task,
    finish,
    run,
    user,
    worker,
)

pytestmark = pytest.mark.django_db

ODD = '=1+1, “ö” "x"\r\n\tü\u2028 \U0001f600'
CONDITIONS = (
    *("dataset_sha256", "train_seconds", "eval_seconds", "setup_seconds", "threads", "dtype"),
    *("torch_version", "peak_memory_mb"),
)


def rich() -> Campaign:
    """A race, and results of every kind beside tasks in every state, with odd texts in them."""
    campaign = decided_race(name=f"race {ODD}", allow_simulated=True).campaign
    lifecycle.add_tasks(campaign, 12, now=at(900))
    odd = worker(name="-o'dd\"\t, wörker")
    finish(claim_one(odd, now=at(901)), 2 + 1 / 3, torch_version=ODD, dtype=None)
    finish(claim_one(odd, now=at(902)), 1e-7 + 3, threads=2**53 + 1, peak_memory_mb=1e300)
    run(None, seconds=903)
    run(2.5, seconds=904, simulated=True)
    ranked = list(campaign.tasks.filter(result__is_ranked=True).order_by("-number")[:4])
    author = user()
    for task in ranked[:2]:
        lifecycle.write_note(task, f"+{ODD}", author=author, now=at(950))
        lifecycle.write_note(task.arm, f"@arm {ODD}", author=author, now=at(950))
    # As rows were before there were classes, shared seeds and budgets of attempts.
    Result.objects.filter(task=ranked[2]).update(result_class=None, metrics={})
    Task.objects.filter(pk=ranked[2].pk).update(seed_index=None)
    Attempt.objects.filter(task=ranked[2]).update(time_budget_seconds=None)
    Attempt.objects.filter(task=ranked[3]).update(time_budget_seconds=7.25)
    Result.objects.filter(task=ranked[3]).update(implausible=True, is_ranked=False)
    return campaign


def old_records(campaign: Campaign, *, simulated: bool) -> Iterator[tuple[dict[str, Any], Task]]:
    """Read each result as an object, and from it the fields in the order of the files."""
    for result in campaign.results.filter(implausible=False).order_by("task__number"):
        if result.simulated and not simulated:
            continue
        task, attempt = result.task, result.attempt
        yield (
            {
                "campaign_id": campaign.pk,
                "campaign": campaign.name,
                "experiment": campaign.experiment,
                "script_sha256": campaign.package_id,
                "task": task.number,
                "arm": task.arm.number,
                "seed": task.seed,
                "seed_index": task.seed_index,
                "max_steps": task.max_steps,
                "time_budget_seconds": attempt.time_budget_seconds or campaign.time_budget_seconds,
                campaign.metric_spec.name: result.value,
                **{name: getattr(result, name) for name in MEASURED},
                "class": result.result_class_id,
                "worker": attempt.worker.name,
                "created_at": result.created_at.isoformat(),
                "note": note_text(task),
                "arm_note": note_text(task.arm),
                **{name: result.metrics.get(name) for name in CONDITIONS},
            },
            task,
        )


def safe(cell: Any) -> Any:
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    return f"'{cell}" if is_formula else cell


@pytest.mark.parametrize("simulated", [False, True])
def test_files_have_the_bytes_of_the_objects_that_they_are_about(*, simulated: bool) -> None:
    campaign = rich()
    records = list(old_records(campaign, simulated=simulated))
    assert len(records) == campaign.results.count() - (1 if simulated else 2)
    expected = "".join(json.dumps(row | {"params": task.params}) + "\n" for row, task in records)
    assert "".join(json_lines(campaign, simulated=simulated)) == expected

    params = [parameter["name"] for parameter in campaign.search_space["parameters"]]
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([*records[0][0], *(f"param.{name}" for name in params)])
    for row, task in records:
        cells = [*row.values(), *(task.params.get(name) for name in params)]
        writer.writerow([safe(cell) for cell in cells])
    assert "".join(csv_lines(campaign, simulated=simulated)) == file.getvalue()


def test_the_admins_files_have_the_bytes_of_the_objects_too() -> None:
    rich()
    completed_task(name=ODD)
    failed_task()
    cancelled_task()
    resource = ResultResource()
    queryset = Result.objects.order_by("-created_at", "-pk")

    def cell(field: Field, result: Result) -> Any:
        if field.column_name == VAL_BPB.name:
            return result.value if result.task.campaign.metric == VAL_BPB.name else None
        return field.get_value(result)

    objects = [[cell(field, row) for field in resource.get_export_fields()] for row in queryset]
    data = resource.export(queryset)
    assert [list(row) for row in data] == objects
    lines = list(csv.reader(io.StringIO(SafeCSV().export_data(data), newline="")))
    assert len(lines) == len(objects) + 1
    assert len(json.loads(JSON().export_data(data))) == len(objects)


def test_a_file_takes_as_many_queries_however_many_results_there_are(
    django_assert_max_num_queries: Any,
) -> None:
    campaign, by = active_campaign(6), worker()
    for _ in range(6):
        finish(claim_one(by, now=NOW))
    with django_assert_max_num_queries(3):
        assert len(list(csv_lines(campaign))) == 7
