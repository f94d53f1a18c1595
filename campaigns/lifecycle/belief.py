"""What is believed of a result: what is refused, what is kept without a rank, what people admit.

A result whose numbers contradict its task or training itself is refused. One whose value is better
than any model reaches on this data set is stored, shown as implausible and not ranked, until an
operator admits it. Such a bound is known for bits per byte only.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from campaigns.lifecycle.errors import WrongState
from campaigns.models import MAX_LOSS, Attempt, Campaign, Dataset, Result, Task
from campaigns.notifications import events
from experiments import catalog
from experiments.metrics import VAL_BPB, MetricSpec
from workers.protocol import Submission
from workers.result_line import is_finding_without_value

# By so much a run may seem longer than its lease: the database's clock may be set meanwhile.
CLOCK_TOLERANCE_SECONDS: Final = 10.0
# No run is shorter; speeds are divided by it.
LEAST_SECONDS: Final = 0.001
# The name of a device goes on with one of these: "cuda:0", "cuda (H200)".
_AFTER_DEVICE: Final = re.compile(r"[^a-z]")


def contradictions(
    attempt: Attempt, body: Submission, metrics: dict[str, Any], *, now: dt.datetime
) -> list[str]:
    """Return why a well-formed result is refused, one sentence each; [] when it is believed."""
    problems = _not_of_its_task(attempt, body, metrics)
    # What a worker without torch invents is marked as simulated, and never ranked.
    if not body.get("simulated"):
        problems += _not_of_a_training(attempt, metrics, now)
    return problems


def _not_of_its_task(attempt: Attempt, body: Submission, metrics: dict[str, Any]) -> list[str]:
    task, campaign = attempt.task, attempt.task.campaign
    problems = []
    if body.get("simulated") and not campaign.allow_simulated:
        problems.append("it is simulated, and the campaign takes measured results only")
    if metrics["dataset_sha256"] != campaign.dataset_id:
        problems.append(
            f"it was measured on data set {metrics['dataset_sha256'][:12]}, the campaign "
            f"compares on {campaign.dataset_id[:12]}"
        )
    if metrics["seed"] != task.seed:
        problems.append(f"it ran seed {metrics['seed']}, the task's is {task.seed}")
    code_sha256 = body.get("code_sha256")
    if code_sha256 and code_sha256 != campaign.package_id:
        problems.append(
            f"it ran script {code_sha256[:12]}, the campaign pins {campaign.package_id[:12]}"
        )
    longest = attempt.budget_seconds + settings.XEENET["KILL_GRACE_SECONDS"]
    if metrics["wall_time_seconds"] > longest:
        problems.append(
            f"it ran {metrics['wall_time_seconds']:.0f} s, at most {longest:.0f} s count"
        )
    allowed = catalog.get(campaign.experiment).eval_bytes_allowed(campaign.dataset.size_bytes)
    has_value = metrics[campaign.metric_spec.name] is not None
    if has_value and metrics["eval_bytes"] not in allowed.values():
        counts = " or ".join(f"{n} ({name})" for name, n in allowed.items())
        problems.append(f"eval_bytes is {metrics['eval_bytes']}, must be {counts}")
    if metrics["eval_tokens"] > metrics["eval_bytes"]:
        problems.append("eval_tokens exceeds eval_bytes")
    return problems


def _not_of_a_training(attempt: Attempt, metrics: dict[str, Any], now: dt.datetime) -> list[str]:
    """Return which counters no training has that brings this value."""
    problems = []
    value = attempt.task.campaign.metric_spec.name
    if metrics[value] is not None:
        names = ("steps_completed", "tokens_trained", "model_params")
        problems += [f"{name} is 0 in a run with a {value}" for name in names if not metrics[name]]
        loss = metrics["train_loss"]
        if loss is not None and abs(loss) > MAX_LOSS:
            problems.append(
                f"train_loss is {loss:.3g}, beyond {MAX_LOSS:,.0f}; such a run diverged"
            )
    most, made = attempt.task.max_steps, metrics["steps_completed"]
    if most is not None and made > most:
        problems.append(f"it made {made:,} steps, and the task is over after {most:,}")
    seconds = metrics["wall_time_seconds"]
    lease_seconds = (now - attempt.started_at).total_seconds()
    if seconds < LEAST_SECONDS:
        problems.append(f"wall_time_seconds is {seconds:g}, and every run takes time")
    elif seconds > lease_seconds + CLOCK_TOLERANCE_SECONDS:
        problems.append(
            f"it ran {seconds:.0f} s, and its lease began only {lease_seconds:.0f} s ago"
        )
    if problem := _unknown_device(attempt, metrics["device_used"]):
        problems.append(problem)
    return problems


def _unknown_device(attempt: Attempt, used: str) -> str:
    """Return why this worker has no such device; "" when it may have."""
    worker = attempt.worker
    known = [str(device).lower() for device in worker.hardware.get("devices") or []]
    named = [str(worker.hardware.get(key) or "").lower() for key in ("gpu_name", "cpu_model")]
    device = used.strip().lower()
    if not known or _AFTER_DEVICE.split(device)[0] in known or device in filter(None, named):
        return ""
    # What the worker has told since was perhaps not so when the run began: a restarted agent may
    # find other devices, and then delivers the results of before.
    if worker.sessions.filter(started_at__gt=attempt.started_at).exists():
        return ""
    return f"device_used is {used[:100]!r}, and this worker told of {', '.join(known)}"


def is_implausible(dataset: Dataset, spec: MetricSpec, value: float | None) -> bool:
    """Return whether the value is better than models reach on this data set, as far as known."""
    bound = dataset.least_plausible_bpb if spec.name == VAL_BPB.name else None
    return value is not None and bound is not None and value < bound


def result_columns(
    campaign: Campaign, metrics: dict[str, Any], *, simulated: bool
) -> dict[str, Any]:
    """Return what is believed of an accepted result, as columns: its value, rank and counters."""
    allowed = catalog.get(campaign.experiment).eval_bytes_allowed(campaign.dataset.size_bytes)
    spec = campaign.metric_spec
    value = metrics[spec.name]
    valueless = is_finding_without_value(metrics, spec)
    diverged = metrics.get("diverged") is True
    measured = not (simulated or valueless or diverged)
    implausible = measured and is_implausible(campaign.dataset, spec, value)
    return {
        "value": value,
        "sort_key": None if value is None else spec.sort_key(value),
        "is_ranked": measured and not implausible,
        "implausible": implausible,
        "diverged": diverged,
        "simulated": simulated,
        "train_loss": _sane(metrics["train_loss"]),
        "eval_nll_nats": None if valueless else metrics.get("eval_nll_nats"),
        "eval_is_subset": not valueless and metrics["eval_bytes"] != allowed["full"],
    }


def _sane(loss: float | None) -> float | None:
    """Return the loss of a run without a value, or None beyond what pages and charts can show."""
    return None if loss is None or abs(loss) > MAX_LOSS else loss


def admit(task: Task, *, actor: User | None, now: dt.datetime) -> None:
    """Rank an implausible result after all. Raises WrongState for any other."""
    # One transaction: cached standings must not miss a result that is ranked.
    with transaction.atomic():
        admitted = Result.objects.filter(task=task, implausible=True).update(
            implausible=False, is_ranked=True, admitted_at=now, admitted_by=actor
        )
        if not admitted:
            raise WrongState("Only a result that is shown as implausible can be admitted.")
        Campaign.objects.filter(pk=task.campaign_id).update(revision=F("revision") + 1)
    events.note_new_best(task.campaign_id, now=now)


def note_measured(dataset: Dataset, compressed_bpb: float | None, *, now: dt.datetime) -> None:
    """Store what a compressor reaches on the data set, once, and judge the results of before."""
    Dataset.objects.filter(pk=dataset.pk, measured_at=None).update(
        compressed_bpb=compressed_bpb, measured_at=now
    )
    dataset.refresh_from_db(fields=["compressed_bpb", "measured_at"])
    judge_again(dataset)


def judge_again(dataset: Dataset) -> int:
    """Take the rank from results below the data set's bound that nobody admitted; return how many.

    For results that came before the bound was known.
    """
    bound = dataset.least_plausible_bpb
    if bound is None:
        return 0
    ranked = Result.objects.filter(campaign__dataset=dataset, campaign__metric=VAL_BPB.name)
    results = ranked.filter(is_ranked=True, admitted_at=None, value__lt=bound)
    # One transaction: cached standings must not keep a result that is not ranked.
    with transaction.atomic():
        campaigns = set(results.order_by().values_list("campaign_id", flat=True).distinct())
        judged = results.update(is_ranked=False, implausible=True)
        Campaign.objects.filter(pk__in=campaigns).update(revision=F("revision") + 1)
    return judged
