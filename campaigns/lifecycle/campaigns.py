"""The verbs of a campaign: create, launch, pause, resume, cancel, finish."""

from __future__ import annotations

import datetime as dt
import hashlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from campaigns.datasets import UnknownDataset, known_dataset
from campaigns.fleet.budgets import WorkBudget
from campaigns.lifecycle import journal
from campaigns.lifecycle.arms import TaskMaker, drawn_points
from campaigns.lifecycle.drawing import SLICE, ask_for_the_rest, give_up_undrawn
from campaigns.lifecycle.endings import finish_if_done
from campaigns.lifecycle.errors import InvalidCampaign, WrongState
from campaigns.lifecycle.journal import SERVER, Actor, Change
from campaigns.lifecycle.launch_checks import launch_problems
from campaigns.lifecycle.race_due import races_by_default, runs_kept_at_launch
from campaigns.lifecycle.races import cancel_races, decide_races, give_up_kept_runs
from campaigns.lifecycle.shares import enter
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS, NO_LEASE
from campaigns.lifecycle.work_checks import (
    budget_problems,
    launched_work,
    work_columns,
)
from campaigns.models import (
    MAX_MIN_EFFECT,
    MAX_RACE_SEEDS,
    MAX_SEED,
    MAX_TRIES,
    Attempt,
    AttemptOutcome,
    BudgetKind,
    Campaign,
    CampaignState,
    Dataset,
    Package,
    PackageOrigin,
    Share,
    Task,
    TaskOrigin,
    TaskQuerySet,
    TaskState,
)
from campaigns.race.look import FEWEST_COMMON
from campaigns.race.rows import MIN_EFFECT
from campaigns.race.rule import SEEDS
from campaigns.search import samplers
from campaigns.search.samplers import MAX_TASKS
from campaigns.search.space import SearchSpace, UnsatisfiableSpace
from campaigns.search.space_json import InvalidSearchSpace
from campaigns.work.describe import InfeasibleCost
from experiments import catalog
from workers.protocol import IsolationTier

NOT_STORED: Final = "No script of this sha256 is stored here; upload it first."


@dataclass(frozen=True)
class CampaignSpec:
    """A researcher's description of a campaign; empty fields take the experiment's defaults."""

    name: str
    experiment: str
    task_count: int
    time_budget_seconds: float | None = None  # a work budget has none
    base_seed: int = 42
    search_space: dict[str, Any] | None = None
    sampler: str = "random"
    dataset: str = ""  # a name in the catalog or of a stored data set, or a sha256
    description: str = ""
    allow_simulated: bool = False
    max_failed_attempts: int = 2
    max_lost_attempts: int = 5
    script: str = ""  # the sha256 of an uploaded script; "" is the experiment's own
    required_isolation: str = IsolationTier.T0
    budget_kind: str = BudgetKind.TIME
    work_unit: str = ""  # of a work budget: seconds
    work_amount: float | None = None
    races_automatically: bool | None = None  # None: see `races_by_default`
    min_effect: float = MIN_EFFECT
    race_seeds: int = SEEDS  # of the races that people start


def create_campaign(spec: CampaignSpec, *, owner: User | None, now: dt.datetime) -> Campaign:
    """Check a description and store it as a draft, with script and data set pinned by hash.

    Raises InvalidCampaign with every error found, by field.
    """
    experiment, dataset, space, budget = _resolve(spec, now)
    fields = asdict(spec) | budget
    script: str = fields.pop("script")
    fields |= {
        "name": spec.name.strip(),
        "experiment": experiment.name,
        "dataset": dataset,
        "search_space": space.to_json(),
    }
    if spec.races_automatically is None:
        fields["races_automatically"] = races_by_default(
            spec.task_count, allow_simulated=spec.allow_simulated
        )
    with transaction.atomic():
        package = _stored_script(script) if script else _built_in_script(experiment, now=now)
        campaign = Campaign(owner=owner, package=package, created_at=now, **fields)
        try:
            campaign.full_clean()
        except ValidationError as error:
            raise InvalidCampaign(error.message_dict) from error
        campaign.save()
        Share.objects.create(campaign=campaign)
    return campaign


def check_campaign(spec: CampaignSpec, *, now: dt.datetime) -> SearchSpace:
    """Check a description as `create_campaign` does, without storing it; return its space.

    Raises InvalidCampaign with every error found, by field.
    """
    _, _, space, _ = _resolve(spec, now)
    return space


def _resolve(
    spec: CampaignSpec, now: dt.datetime
) -> tuple[catalog.Experiment, Dataset, SearchSpace, dict[str, Any]]:
    """Look up what the spec names, parse its space, and return the columns of its work budget.

    Raises InvalidCampaign.
    """
    try:
        experiment = catalog.get(spec.experiment)
    except catalog.UnknownExperiment as error:
        raise InvalidCampaign({"experiment": [str(error)]}) from error
    errors: dict[str, list[str]] = {}
    if problem := _script_problem(spec.script, experiment):
        errors["script"] = [problem]
    dataset = space = None
    try:
        dataset = known_dataset(spec.dataset or experiment.datasets[0])
    except UnknownDataset as error:
        errors["dataset"] = [str(error)]
    try:
        space = SearchSpace.parse(
            experiment.default_search_space if spec.search_space is None else spec.search_space
        )
    except InvalidSearchSpace as error:
        errors["search_space"] = error.sentences()
    if sentences := _sampler_problems(spec.sampler, space):
        errors["sampler"] = sentences
    errors |= _limit_problems(spec)
    if errors or dataset is None or space is None:
        raise InvalidCampaign(errors)
    return experiment, dataset, space, _work_columns(spec, experiment, dataset, space, now)


def _work_columns(
    spec: CampaignSpec,
    experiment: catalog.Experiment,
    dataset: Dataset,
    space: SearchSpace,
    now: dt.datetime,
) -> dict[str, Any]:
    """Return the columns of the work budget; {} for a time budget. Raises InvalidCampaign."""
    if spec.budget_kind != BudgetKind.WORK:
        return {}
    source: bytes | memoryview[int] | None = catalog.script_source(experiment.name)
    if spec.script:
        source = Package.objects.values_list("source", flat=True).filter(pk=spec.script).first()
    return work_columns(
        spec,
        space=space,
        experiment=experiment.name,
        source=bytes(source or b""),
        eval_bytes=experiment.eval_bytes_allowed(dataset.size_bytes)["full"],
        now=now,
    )


def _limit_problems(spec: CampaignSpec) -> dict[str, list[str]]:
    """Return what is out of its bounds, by field."""
    errors = budget_problems(spec)
    if spec.required_isolation not in set(IsolationTier):
        errors["required_isolation"] = [f"must be one of {', '.join(IsolationTier)}"]
    if not 1 <= spec.task_count <= MAX_TASKS:
        errors["task_count"] = [f"must be from 1 to {MAX_TASKS:,}"]
    elif not 0 <= spec.base_seed <= MAX_SEED - spec.task_count:
        errors["base_seed"] = [f"must be from 0, and with the task numbers at most {MAX_SEED}"]
    for name in ("max_failed_attempts", "max_lost_attempts"):
        if not 1 <= getattr(spec, name) <= MAX_TRIES:
            errors[name] = [f"must be from 1 to {MAX_TRIES}"]
    if not 0 <= spec.min_effect <= MAX_MIN_EFFECT:
        errors["min_effect"] = [f"must be from 0 to {MAX_MIN_EFFECT:g}"]
    if not FEWEST_COMMON <= spec.race_seeds <= MAX_RACE_SEEDS:
        errors["race_seeds"] = [f"must be from {FEWEST_COMMON} to {MAX_RACE_SEEDS:,}"]
    return errors


def _stored_script(sha256: str) -> Package:
    """Return an uploaded script, locked against deletion until this transaction ends.

    Raises InvalidCampaign when it has just been deleted.
    """
    package = Package.objects.select_for_update(no_key=True).filter(pk=sha256).first()
    if package is None:
        raise InvalidCampaign({"script": [NOT_STORED]})
    return package


def _built_in_script(experiment: catalog.Experiment, *, now: dt.datetime) -> Package:
    """Return the experiment's own script as it is today, stored when it is new."""
    source = catalog.script_source(experiment.name)
    columns = {"name": experiment.name, "source": source, "created_at": now}
    package, _ = Package.objects.get_or_create(
        sha256=hashlib.sha256(source).hexdigest(), defaults=columns
    )
    if package.is_uploaded:
        # Somebody had uploaded these bytes before they became part of this installation.
        package.origin = PackageOrigin.BUILTIN
        # Drop an operator's refusal of the upload: a script of the catalog needs no approval.
        package.declined_at, package.declined_by, package.declined_reason = None, None, ""
        package.save(update_fields=["origin", "declined_at", "declined_by", "declined_reason"])
    return package


def _script_problem(sha256: str, experiment: catalog.Experiment) -> str:
    """Return why a campaign of this experiment cannot run this script; "" when it can."""
    if not sha256:
        return ""
    package = Package.objects.filter(pk=sha256).defer("source").first()
    if package is None:
        return NOT_STORED
    if (original := package.experiment or package.name) != experiment.name:
        return f"This script is a variation of {original}; choose that experiment."
    return ""


def _sampler_problems(name: str, space: SearchSpace | None) -> list[str]:
    """Return why this sampler cannot sample this space, so that launching does not fail later."""
    if name not in samplers.SAMPLERS:
        return [str(samplers.UnknownSampler(name))]
    try:
        if space is not None:
            samplers.sample(space, name, 0, 0)
    except UnsatisfiableSpace as error:
        return [str(error)]
    return []


def launch(campaign: Campaign, *, now: dt.datetime, actor: Actor = SERVER) -> None:
    """Draft → active, with metric and cost model pinned, and its first `SLICE` tasks.

    A background job makes the others (`draw_rest`). A campaign that races by itself keeps some of
    its tasks' runs for the race.

    Raises WrongState unless draft, InvalidCampaign when the constraints leave no point, when the
    script would refuse every config or the data set, or when no config has such a run.
    """
    if problems := launch_problems(campaign):
        raise InvalidCampaign(problems)
    # Sample before the transaction, which on SQLite holds the only write lock.
    work = launched_work(campaign, now=now)
    maker = TaskMaker(campaign, now=now, work=work)
    kept = runs_kept_at_launch(
        campaign.task_count, campaign.sampler, races_automatically=campaign.races_automatically
    )
    count = campaign.task_count - kept
    points = drawn_points(campaign, min(count, SLICE), of=count)
    tasks = [maker.task(params, TaskOrigin.SAMPLED) for params in points]
    if all(task.infeasible for task in tasks) and not _can_run(campaign, work, count, len(tasks)):
        raise InvalidCampaign({"search_space": [f"no task can run: {tasks[0].infeasible}"]})
    spec = campaign.metric_spec
    pinned: dict[str, Any] = {
        "metric": spec.name,
        "metric_version": spec.version,
        "kept_runs": kept,
    }
    undrawn = count - len(tasks)
    made = f"Tasks made: {len(tasks):,}."
    if undrawn:
        pinned |= {"undrawn_tasks": undrawn, "drawing_since": now}
        made = f"Tasks made: {len(tasks):,} of {count:,}, the others follow in the background."
    if work is not None and work.model is not None:
        pinned["cost_model"] = work.model.to_json()
        made += f" What a step costs comes from {work.model.origin}."
    if kept:
        made += f" Runs kept for their race: {kept}."
    # One transaction: an active campaign without its tasks would look finished.
    with transaction.atomic():
        draws = campaign.draws + len(tasks)
        _move(campaign, "launch", actor, now, made, launched_at=now, draws=draws, **pinned)
        maker.store(tasks)
        # Last, because the others' accounts grow while many tasks are stored.
        enter(campaign)
    ask_for_the_rest(campaign.pk)


def _can_run(campaign: Campaign, work: WorkBudget | None, count: int, drawn: int) -> bool:
    """Return whether any of the campaign's `count` draws after the first `drawn` has a run."""
    if work is not None and count > drawn:
        for params in drawn_points(campaign, count):
            with suppress(InfeasibleCost):
                work.work_of(params)
                return True
    return False


def pause(campaign: Campaign, *, now: dt.datetime, reason: str = "", actor: Actor = SERVER) -> None:
    """active → paused: no new task is handed out, running ones may finish. Raises WrongState."""
    _move(campaign, "pause", actor, now, reason, state_reason=reason[:500], paused_at=now)


def resume(campaign: Campaign, *, now: dt.datetime, actor: Actor = SERVER) -> None:
    """paused → active; decides looks and begins the race that became due meanwhile.

    Raises WrongState.
    """
    with transaction.atomic():
        _move(campaign, "resume", actor, now, state_reason="", paused_at=None, resumed_at=now)
        enter(campaign)
    decide_races(campaign.pk, now=now)
    finish_if_done(campaign.pk, now=now)


def cancel(
    campaign: Campaign, *, now: dt.datetime, reason: str = "", actor: Actor = SERVER
) -> None:
    """draft, active or paused → cancelled, together with its open tasks. Raises WrongState.

    Workers learn of it at their next heartbeat. Stored results stay.
    """
    # One transaction: no task may be claimable in a cancelled campaign.
    with transaction.atomic():
        # First: a campaign that has ended has nothing left to draw.
        give_up_undrawn(campaign)
        _move(campaign, "cancel", actor, now, reason, state_reason=reason[:500], finished_at=now)
        cancel_races(campaign, now=now)
        give_up_kept_runs(campaign)
        cancel_open_tasks(Task.objects.filter(campaign=campaign), now=now, actor=actor)


def delete_draft(campaign: Campaign) -> None:
    """Delete a campaign that was never launched. Raises WrongState for any other.

    The journal's rows name their campaign without a foreign key of the database's.
    """
    with transaction.atomic():
        # Locked first: whatever moves the campaign meanwhile has written its journal before.
        locked = Campaign.objects.select_for_update().get(pk=campaign.pk)
        if locked.state != CampaignState.DRAFT:
            raise WrongState(f"The campaign is {locked.state}; only a draft can be deleted.")
        locked.delete()


def cancel_open_tasks(
    tasks: TaskQuerySet,
    *,
    now: dt.datetime,
    actor: Actor,
    reason: str = "Cancelled by a person.",
) -> int:
    """Pending or leased → cancelled for a queryset of tasks; return how many.

    Call it in a transaction. Tasks are locked before attempts, as in every verb: one lock order
    everywhere prevents deadlocks.
    """
    # This read only takes the row locks, always in the same order. The updates below select the
    # tasks by query, because 100,000 ids are more than a statement may hold.
    list(tasks.open().order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
    running = Attempt.objects.filter(task__in=tasks, outcome=AttemptOutcome.RUNNING)
    # Before the updates: the journal reads each old state from the row itself.
    journal.record_tasks(actor, tasks.open(), TaskState.CANCELLED, now=now, reason=reason)
    journal.record_attempts(actor, running, AttemptOutcome.CANCELLED, now=now, reason=reason)
    cancelled = tasks.open().update(
        state=TaskState.CANCELLED,
        finished_at=now,
        **NO_LEASE,
    )
    running.filter(task__state=TaskState.CANCELLED).update(
        outcome=AttemptOutcome.CANCELLED, ended_at=now, message=reason
    )
    return cancelled


def _move(
    campaign: Campaign,
    verb: str,
    actor: Actor,
    now: dt.datetime,
    reason: str = "",
    **fields: Any,
) -> None:
    """Move the campaign with one guarded UPDATE. Raises WrongState when it matches no row."""
    transition = CAMPAIGN_TRANSITIONS[verb]
    (target,) = transition.targets
    rows = Campaign.objects.filter(pk=campaign.pk)
    # One transaction: every change has its line in the journal, which names the state before.
    with transaction.atomic():
        before = rows.select_for_update(no_key=True).values_list("state", flat=True).get()
        moved = rows.filter(state__in=transition.sources).update(
            state=target, revision=F("revision") + 1, **fields
        )
        if moved:
            journal.record(actor, Change(campaign, before, target), now=now, reason=reason)
    if not moved:
        campaign.state = before
        sources = " or ".join(sorted(transition.sources))
        raise WrongState(f"The campaign is {before}; only {sources} can {verb}.")
    campaign.state = target
    for name, value in fields.items():
        setattr(campaign, name, value)
