"""Runs in a checkout's own process and database: seeds, launches, expires, exports, counts.

Started by path with PYTHONPATH set to the checkout, so that `campaigns` and `workers` are those of
that checkout, which may be an older commit. Each line of stdin is an order, a JSON object with the
name of a function below under "order"; the answer is one line of JSON on stdout.
"""

import contextlib
import hashlib
import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

HOST = "127.0.0.1"
EXPERIMENT = "train_char_lm"
DATASET = "tinyshakespeare"
# So many tasks are drawn by the launch itself; the others are copies of them.
DRAWN = 1_000
BATCH = 1_000


def hardware(name: str) -> dict[str, Any]:
    """Return what a worker of this name tells of its machine."""
    return {
        "platform": "Linux-6.1-x86_64",
        "python_version": "3.12.4",
        "cpu_model": "AMD EPYC 9654",
        "cpu_count": 4,
        "ram_bytes": 16 * 2**30,
        "torch_version": "2.13.0",
        "devices": ["cpu"],
        "machine": hashlib.sha256(name.encode()).hexdigest()[:16],
    }


def prepare(*, port: int, processes: int = 1) -> dict[str, Any]:
    """Apply the migrations; return the commands of web server and q-cluster."""
    from xeenet_site.running import serving

    with contextlib.redirect_stdout(sys.stderr):
        serving.migrate()
    return {
        "web": serving.web_command(HOST, port, workers=processes),
        "cluster": serving.cluster_command(),
        "environment": {
            name: value
            for name, value in serving.server_environment().items()
            if name in {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "PYTHONUNBUFFERED"}
        },
    }


def workers(*, prefix: str, count: int) -> list[dict[str, Any]]:
    """Enrol workers whose agents have called before; return what each of these agents knows."""
    from django.db import transaction

    from campaigns.clock import database_now
    from experiments import catalog
    from workers import lifecycle
    from workers.models import Worker
    from workers.tokens import WORKER_PREFIX, hash_token, new_token

    now, scripts = database_now(), [catalog.script_sha256(EXPERIMENT)]
    known = [
        {
            "name": f"{prefix}-{number}",
            "token": new_token(WORKER_PREFIX),
            "boot_id": str(uuid.uuid4()),
            "hardware": hardware(f"{prefix}-{number}"),
            "scripts": scripts,
        }
        for number in range(count)
    ]
    rows = Worker.objects.bulk_create(
        [
            Worker(name=one["name"], token_hash=hash_token(one["token"]), enrolled_at=now)
            for one in known
        ],
        batch_size=BATCH,
    )
    with transaction.atomic():
        for one, row in zip(known, rows, strict=True):
            lifecycle.see(row, now=now, boot_id=uuid.UUID(one["boot_id"]))
            lifecycle.describe(
                row,
                hardware=one["hardware"],
                simulates=False,
                version="0.2.0",
                isolation="T1",
                accepts_uploaded_scripts=False,
                scripts=scripts,
                runs_server_code=False,
            )
    return known


def campaign(*, name: str, tasks: int, budget_seconds: float = 10.0) -> dict[str, Any]:
    """Launch a campaign of the catalog's script; return what a result of its must say.

    The launch draws the first tasks, and the rest are copies with arms of their own: what is
    measured is the handing out of tasks, and drawing 100,000 would take most of a minute.
    """
    from campaigns import lifecycle
    from campaigns.clock import database_now
    from campaigns.lifecycle import CampaignSpec
    from campaigns.models import Task
    from experiments import catalog

    now = database_now()
    spec = CampaignSpec(
        name=name,
        experiment=EXPERIMENT,
        dataset=DATASET,
        task_count=min(tasks, DRAWN),
        time_budget_seconds=budget_seconds,
        max_lost_attempts=50,
    )
    made = lifecycle.create_campaign(spec, owner=None, now=now)
    lifecycle.launch(made, now=now)
    drawn = Task.objects.filter(campaign=made).count()
    _copy_tasks(made.pk, drawn, -(-tasks // drawn) - 1)
    made.refresh_from_db()
    allowed = catalog.get(EXPERIMENT).eval_bytes_allowed(made.dataset.size_bytes)
    return {
        "campaign": made.pk,
        "dataset_sha256": made.dataset_id,
        "code_sha256": made.package_id,
        "eval_bytes": allowed["full"],
        "tasks": drawn * -(-tasks // drawn),
    }


def _copy_tasks(campaign_id: int, drawn: int, times: int) -> None:
    """Copy the campaign's `drawn` tasks and their arms so many times, with one INSERT each."""
    from django.db import connection

    from campaigns.models import Arm, Campaign, Task

    if times > 0:
        arms = Arm.objects.filter(campaign=campaign_id).count()
        digest = "lpad(to_hex(copies.k), 8, '0')"
        series = f"generate_series(1, {times}) AS copies(k)"
        if connection.vendor == "sqlite":
            digest = "printf('%08x', copies.k)"
            series = (
                "(WITH RECURSIVE c(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM c "
                f"WHERE k < {times}) SELECT k FROM c) AS copies"
            )
        with connection.cursor() as cursor:
            changed = {
                "number": f"old.number + copies.k * {arms}",
                "params_sha256": f"{digest} || substr(old.params_sha256, 9)",
            }
            cursor.execute(
                _insert_copies(Arm, changed, f"{series}, {Arm._meta.db_table} old")
                + f" WHERE old.campaign_id = {campaign_id}"
            )
            changed = {"number": f"old.number + copies.k * {drawn}", "arm_id": "copied.id"}
            cursor.execute(
                _insert_copies(
                    Task,
                    changed,
                    f"{series}, {Task._meta.db_table} old, {Arm._meta.db_table} own, "
                    f"{Arm._meta.db_table} copied",
                )
                + f" WHERE old.campaign_id = {campaign_id} AND own.id = old.arm_id "
                "AND copied.campaign_id = old.campaign_id "
                f"AND copied.number = own.number + copies.k * {arms}"
            )
    made = Task.objects.filter(campaign=campaign_id).count()
    Campaign.objects.filter(pk=campaign_id).update(task_count=made, draws=made)


def _insert_copies(model: Any, changed: dict[str, str], source: str) -> str:
    columns = [
        field.column
        for field in model._meta.concrete_fields
        if field.column != model._meta.pk.column
    ]
    values = ", ".join(changed.get(column, f'old."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    return f"INSERT INTO {model._meta.db_table} ({names}) SELECT {values} FROM {source}"


def classes(*, campaign_id: int, prefix: str) -> int:
    """Make the class of the results of each of these workers, as its first result would."""
    from campaigns.lifecycle.classes import class_id
    from campaigns.models import Attempt, Task
    from workers.models import Worker

    task = Task.objects.filter(campaign=campaign_id).select_related("campaign__dataset")[0]
    line = {"device_used": "cpu", "dtype": "bfloat16", "threads": 2}
    rows = list(Worker.objects.filter(name__startswith=f"{prefix}-"))
    for row in rows:
        class_id(Attempt(task=task, worker=row), line, is_subset=False)
    return len(rows)


def hold(*, prefix: str, count: int) -> list[list[str]]:
    """Let each of these workers claim so many tasks; return the lease ids by worker, in order."""
    from campaigns import lifecycle
    from campaigns.clock import database_now
    from workers.models import Worker

    rows = Worker.objects.filter(name__startswith=f"{prefix}-").order_by("pk")
    held = []
    for row in rows:
        now = database_now()
        claim = lifecycle.claim(row, claim_id=uuid.uuid4(), count=count, now=now)
        held.append([str(attempt.lease_id) for attempt in claim.attempts])
    return held


def settle() -> None:
    """Bring statistics and visibility map up to date, as autovacuum would within minutes."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
        else:
            cursor.execute("ANALYZE")


ORDERS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (prepare, workers, campaign, classes, hold, settle)
}


def main() -> int:
    """Answer the orders of stdin until it ends."""
    import django

    django.setup()
    for line in sys.stdin:
        order = json.loads(line)
        began, worked = time.perf_counter(), time.process_time()
        answer = ORDERS[order.pop("order")](**order)
        took = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - worked}
        print(json.dumps({"answer": answer} | took), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
