"""Runs in a checkout's own process and database: seeds, launches, expires, exports.

Started by path with PYTHONPATH set to the checkout, so that `campaigns` and `workers` are those of
that checkout, which may be an older commit. Each line of stdin is an order, a JSON object with the
name of a function below under "order"; the answer is one line of JSON on stdout.
"""

import contextlib
import copy
import hashlib
import io
import json
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Last, so that every other module is the checkout's.
sys.path.append(str(Path(__file__).parent))
from copied_rows import copy_tasks
from held_leases import DATASET, EXPERIMENT, expire_all, hold, let_run_out, renew, sweep

HOST = "127.0.0.1"
# So many tasks are drawn by the launch itself; the others are copies of them.
DRAWN = 1_000
BATCH = 1_000
# Of a completed campaign so many tasks are run by the verbs.
RUN = 100
# A result line of the catalog's script, without what differs between tasks.
LINE = {
    "train_loss": 2.0,
    "steps_completed": 100,
    "wall_time_seconds": 9.5,
    "device_used": "cpu",
    "model_params": 100_000,
    "dataset": DATASET,
    "tokens_trained": 409_600,
    "train_seconds": 7.5,
    "eval_seconds": 0.5,
    "setup_seconds": 1.5,
    "stop_reason": "time",
    "threads": 2,
    "dtype": "bfloat16",
    "torch_version": "2.13.0",
    "peak_memory_mb": 300.0,
}


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
    from workers.models import Worker, WorkerSession
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
    first = Worker.objects.create(
        name=known[0]["name"], token_hash=hash_token(known[0]["token"]), enrolled_at=now
    )
    with transaction.atomic():
        lifecycle.see(first, now=now, boot_id=uuid.UUID(known[0]["boot_id"]))
        lifecycle.describe(
            first,
            hardware=known[0]["hardware"],
            simulates=False,
            version="0.2.0",
            isolation="T1",
            accepts_uploaded_scripts=False,
            scripts=scripts,
            runs_server_code=False,
        )
    first.refresh_from_db()
    session = WorkerSession.objects.get(worker=first)
    # The others are as the first: 10,000 times these verbs would take minutes.
    rows = [first]
    for one in known[1:]:
        row = Worker.objects.get(pk=first.pk) if not rows[1:] else copy.copy(rows[1])
        row.pk, row.name, row.token_hash = None, one["name"], hash_token(one["token"])
        row.hardware = one["hardware"]
        rows.append(row)
    Worker.objects.bulk_create(rows[1:], batch_size=BATCH)
    sessions = []
    for one, row in zip(known[1:], rows[1:], strict=True):
        own = copy.copy(session)
        own.pk, own.worker, own.boot_id = None, row, uuid.UUID(one["boot_id"])
        sessions.append(own)
    WorkerSession.objects.bulk_create(sessions, batch_size=BATCH)
    return [one | {"pk": row.pk} for one, row in zip(known, rows, strict=True)]


def campaign(*, name: str, tasks: int) -> dict[str, Any]:
    """Launch a campaign of the catalog's script; return what a result of its must say.

    The launch draws the first tasks, and the rest are copies with arms of their own: what is
    measured is the handing out of tasks, and drawing 100,000 would take most of a minute.
    """
    from campaigns import lifecycle
    from campaigns.clock import database_now
    from campaigns.lifecycle import CampaignSpec
    from campaigns.models import Task

    now = database_now()
    spec = CampaignSpec(
        name=name,
        experiment=EXPERIMENT,
        dataset=DATASET,
        task_count=min(tasks, DRAWN),
        time_budget_seconds=10.0,
        max_lost_attempts=50,
    )
    made = lifecycle.create_campaign(spec, owner=None, now=now)
    lifecycle.launch(made, now=now)
    drawn = Task.objects.filter(campaign=made).count()
    copy_tasks(made.pk, -(-tasks // drawn) - 1)
    return results_of(name=name)


def results_of(*, name: str) -> dict[str, Any]:
    """Return what a result of this campaign must say."""
    from campaigns.models import Campaign
    from experiments import catalog

    known = Campaign.objects.select_related("dataset").get(name=name)
    allowed = catalog.get(EXPERIMENT).eval_bytes_allowed(known.dataset.size_bytes)
    return {
        "campaign": known.pk,
        "dataset_sha256": known.dataset_id,
        "code_sha256": known.package_id,
        "eval_bytes": allowed["full"],
    }


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


def finished(*, name: str, tasks: int, prefix: str) -> int:
    """Make a completed campaign with so many results; return its id.

    Workers run the first tasks by the verbs; the others are copies with all their rows.
    """
    from campaigns import lifecycle
    from campaigns.clock import database_now
    from campaigns.lifecycle import CampaignSpec
    from campaigns.models import Campaign
    from experiments import catalog
    from experiments.metrics import bits_per_byte
    from workers.models import Worker

    spec = CampaignSpec(
        name=name,
        experiment=EXPERIMENT,
        dataset=DATASET,
        task_count=min(tasks, RUN),
        time_budget_seconds=10.0,
        races_automatically=False,
    )
    made = lifecycle.create_campaign(spec, owner=None, now=database_now())
    lifecycle.launch(made, now=database_now())
    size = catalog.get(EXPERIMENT).eval_bytes_allowed(made.dataset.size_bytes)["full"]
    rows = list(Worker.objects.filter(name__startswith=f"{prefix}-")[:8])
    for turn in range(spec.task_count):
        worker = rows[turn % len(rows)]
        claim = lifecycle.claim(worker, claim_id=uuid.uuid4(), count=1, now=database_now())
        for attempt in claim.attempts:
            value = 2.5 + attempt.task.number % 997 / 1000
            line = {
                "val_bpb": value,
                "eval_nll_nats": value * size / bits_per_byte(1.0, 1),
                "seed": attempt.task.seed,
                "dataset_sha256": made.dataset_id,
                "eval_bytes": size,
                "eval_tokens": size,
            }
            body = {"outcome": "completed", "metrics": LINE | line, "wall_time_seconds": 9.6}
            body |= {"code_sha256": made.package_id, "exit_code": 0, "simulated": False}
            body |= {"stderr_tail": "step 100: train loss 2.41\n" * 20}
            lifecycle.submit(worker, attempt.lease_id, body, now=database_now())
    copy_tasks(made.pk, -(-tasks // spec.task_count) - 1)
    assert Campaign.objects.get(pk=made.pk).state == "completed"
    return int(made.pk)


def launch(*, name: str, tasks: int) -> dict[str, float]:
    """Launch a campaign of so many tasks; return the seconds of the launch and of all tasks."""
    from campaigns import jobs, lifecycle
    from campaigns.clock import database_now
    from campaigns.lifecycle import CampaignSpec
    from campaigns.models import Task

    spec = CampaignSpec(
        name=name,
        experiment=EXPERIMENT,
        dataset=DATASET,
        task_count=tasks,
        time_budget_seconds=10.0,
        races_automatically=False,
    )
    made = lifecycle.create_campaign(spec, owner=None, now=database_now())
    began = time.perf_counter()
    lifecycle.launch(made, now=database_now())
    launched = time.perf_counter() - began
    # Newer commits draw the rest in a job, which asks for itself again.
    if hasattr(jobs, "draw_tasks"):
        while jobs.draw_tasks(made.pk):
            pass
    count = Task.objects.filter(campaign=made.pk).count()
    assert count == tasks, f"of {tasks} tasks {count} were made"
    return {"launch": launched, "all": time.perf_counter() - began}


def export(*, campaign_id: int, file: str) -> dict[str, float]:
    """Write the results of a campaign as CSV; return seconds, and the size in bytes."""
    from django.core.management import call_command

    began = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr), contextlib.redirect_stderr(io.StringIO()):
        call_command("export_results", str(campaign_id), "--format", "csv", "--out", file)
    return {"seconds": time.perf_counter() - began, "bytes": Path(file).stat().st_size}


def settle() -> None:
    """Bring statistics and visibility map up to date, as autovacuum would within minutes."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
        else:
            cursor.execute("ANALYZE")


ORDERS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(prepare, workers, campaign, classes, hold, renew, finished, sweep, let_run_out),
        *(expire_all, launch, export, settle, results_of),
    )
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
