import hashlib
import json
import re

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import OuterRef, Subquery

BATCH = 5_000
CHUNK = 1_000


def fill(apps, editor):
    """Give each result the arm of its task, and each measured one its class.

    Under a time budget a worker of these campaigns is a band of its own: nobody knows how fast it
    was then. A class that a result has already stays.
    """
    Result, Worker = apps.get_model("campaigns", "Result"), apps.get_model("workers", "Worker")
    campaigns = _campaigns(apps)
    hardware = dict(Worker.objects.values_list("pk", "hardware"))
    classes, members = {}, {}
    last = 0
    while True:
        rows = (
            Result.objects.filter(pk__gt=last, arm=None)
            .order_by("pk")
            .values_list(
                "pk",
                "campaign",
                "attempt__worker",
                "device_used",
                "metrics__dtype",
                "eval_is_subset",
                "is_ranked",
                "implausible",
            )[:BATCH]
        )
        rows = list(rows)
        if not rows:
            break
        last = rows[-1][0]
        for pk, campaign, worker, device, dtype, is_subset, is_ranked, implausible in rows:
            group = None
            if is_ranked or implausible:
                dtype = dtype[:50] if isinstance(dtype, str) else ""
                group = (campaign, worker, device, dtype, is_subset)
                if group not in classes:
                    kind = _device_kind(device, hardware[worker])
                    columns = campaigns[campaign] | {
                        "device_kind": kind,
                        "dtype": dtype,
                        "band_id": worker,
                        "eval_is_subset": is_subset,
                    }
                    classes[group] = _class(apps, columns)
                group = classes[group]
            pks = members.setdefault(group, [])
            pks.append(pk)
            if len(pks) == CHUNK:
                _store(apps, group, members.pop(group))
    for group, pks in members.items():
        _store(apps, group, pks)
    if editor.connection.vendor == "postgresql":
        # Otherwise the table could not be altered in this transaction.
        editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _store(apps, class_id, pks):
    Result, Task = apps.get_model("campaigns", "Result"), apps.get_model("campaigns", "Task")
    of_task = Task.objects.filter(pk=OuterRef("task")).values("arm")
    results = Result.objects.filter(pk__in=pks).order_by()
    if class_id is not None:
        results.filter(result_class=None).update(result_class=class_id)
    results.update(arm=Subquery(of_task))


def _campaigns(apps):
    """Return what all classes of a campaign have in common; so far all have time budgets."""
    fields = ("package_id", "dataset_id", "metric", "metric_version", "budget_kind")
    found = {}
    for row in apps.get_model("campaigns", "Campaign").objects.values(
        "pk", "time_budget_seconds", *fields
    ):
        seconds = row["time_budget_seconds"]
        text = f"{int(seconds):,}" if seconds.is_integer() else f"{seconds:,}"
        same = {name: row[name] for name in fields}
        found[row["pk"]] = same | {"budget": f"{text} s", "cost_model_sha256": ""}
    return found


def _class(apps, columns):
    text = json.dumps(columns, sort_keys=True, separators=(",", ":"))
    key = hashlib.sha256(text.encode()).hexdigest()
    rows = apps.get_model("campaigns", "ResultClass").objects
    return rows.get_or_create(key=key, defaults=columns)[0].pk


def _device_kind(used, hardware):
    name, gpu = used.strip().lower(), str(hardware.get("gpu_name") or "").strip()
    if name == "cpu" or name == str(hardware.get("cpu_model") or "").strip().lower():
        return "cpu"
    if gpu and name == gpu.lower():
        return f"{(hardware.get('devices') or [''])[0]} {gpu}"[:50]
    family = re.split(r"[^a-z]", name)[0][:50]
    if family == "cpu":
        return family
    model = gpu or re.sub(r"^[a-z]*(:\d+)?\s*", "", name)
    return f"{family} {model}".strip()[:50]


class Migration(migrations.Migration):
    """The class and the arm of each result; from now on every result has an arm.

    With 100,000 results it took 53 s on SQLite and 71 s on PostgreSQL 15, and the way back 35 s and
    4 s, on two cores that had six times as much work as they could do. The way back keeps both
    columns as they are.
    """

    dependencies = [
        ("campaigns", "0021_work_of_a_task"),
        ("workers", "0006_calibrations"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddField(
            model_name="result",
            name="expected_step_seconds",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="result",
            name="arm",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="campaigns.arm"
            ),
        ),
        migrations.AlterField(
            model_name="result",
            name="result_class",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="results",
                to="campaigns.resultclass",
            ),
        ),
        migrations.AddIndex(
            model_name="result",
            index=models.Index(
                condition=models.Q(("is_ranked", True)),
                fields=["campaign", "result_class"],
                name="result_of_class",
            ),
        ),
        migrations.AddIndex(
            model_name="result",
            index=models.Index(
                condition=models.Q(("is_ranked", True), ("is_screening", False)),
                fields=["result_class", "-created_at"],
                name="result_repeated",
            ),
        ),
        migrations.AddConstraint(
            model_name="result",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("expected_step_seconds__isnull", True),
                        models.Q(
                            ("expected_step_seconds__gt", 0),
                            ("expected_step_seconds__lt", 1000000000.0),
                        ),
                        _connector="OR",
                    ),
                    models.Q(
                        ("disturbed__isnull", True),
                        models.Q(
                            ("expected_step_seconds__isnull", False),
                            ("step_seconds__isnull", False),
                        ),
                        _connector="OR",
                    ),
                ),
                name="result_disturbed_by_expectation",
            ),
        ),
    ]
