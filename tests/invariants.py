"""Invariants of a database of campaigns, which must hold at any moment.

Tests call ``check()`` after a step; reports use ``violations()``. Both only read, and from a single
snapshot, so servers and agents under test may keep working.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final
from uuid import UUID

from campaigns.models import (
    AttemptOutcome,
    BudgetKind,
    CampaignState,
    ChangeSubject,
    RaceOutcome,
    TaskPurpose,
    TaskState,
    WorkUnit,
)
from campaigns.race.look import Outcome, decide
from campaigns.race.rows import Sight
from campaigns.search.seeds import seed_at
from tests.snapshot import DecisionRow, RaceRow, ResultRow, Rows, read
from workers.protocol import MAX_LEASES_PER_CLAIM, Verdict

NOTHING: Final[Mapping[UUID, str]] = {}
# The state in which each is created. The journal has no entry for a creation.
FIRST_STATES: Final[dict[str, str]] = {
    ChangeSubject.CAMPAIGN: CampaignState.DRAFT,
    ChangeSubject.TASK: TaskState.PENDING,
    ChangeSubject.ATTEMPT: "",
}
BROUGHT_THE_RESULT: Final = {AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED}
OUTCOMES: Final[dict[str, set[str]]] = {
    Verdict.ACCEPTED: {AttemptOutcome.COMPLETED, AttemptOutcome.DIVERGED},
    Verdict.RETRY: {AttemptOutcome.FAILED},
    Verdict.FAILED: {AttemptOutcome.FAILED},
    Verdict.LATE: {AttemptOutcome.LATE},
    # Contradictory numbers: a failure if the attempt still held the task, otherwise late.
    Verdict.REFUSED: {AttemptOutcome.FAILED, AttemptOutcome.LATE},
}


def check(using: str = "default", *, acknowledged: Mapping[UUID, str] = NOTHING) -> None:
    """Raise AssertionError naming every violation; see `violations`."""
    problems = violations(using, acknowledged=acknowledged)
    assert not problems, "\n".join(problems)


def violations(using: str = "default", *, acknowledged: Mapping[UUID, str] = NOTHING) -> list[str]:
    """Return one sentence for each violated invariant.

    `acknowledged` maps lease ids to verdicts, for all submissions that were answered with 2xx.
    """
    rows = read(using)
    return [
        *_campaigns(rows),
        *_arms(rows),
        *_budgets(rows),
        *_races(rows),
        *_leases(rows),
        *_holders(rows),
        *_results(rows),
        *_classes(rows),
        *_hindered(rows),
        *_answers(rows, acknowledged),
        *_journal(rows),
    ]


def _campaigns(rows: Rows) -> Iterator[str]:
    """A campaign counts its tasks and the runs that it keeps; one that has ended keeps none."""
    tasks = Counter(task.campaign_id for task in rows.tasks.values())
    ended = {CampaignState.COMPLETED, CampaignState.CANCELLED}
    for pk, row in rows.campaign_rows.items():
        launched = bool(tasks[pk])
        made = row.task_count - row.kept_runs - row.undrawn_tasks
        if launched and made != tasks[pk]:
            yield f"campaign {pk}: counts {made} as made, has {tasks[pk]} tasks"
        if row.undrawn_tasks and (row.state in ended or not launched):
            yield f"campaign {pk}: is {row.state}, and {row.undrawn_tasks} tasks are undrawn"
        if row.kept_runs and (row.state in ended or not launched):
            yield f"campaign {pk}: is {row.state}, and keeps {row.kept_runs} runs"
        if row.state == CampaignState.COMPLETED and row.asked_at is not None:
            yield f"campaign {pk}: is completed, and waits for an ask"


def _arms(rows: Rows) -> Iterator[str]:
    """Each task is of an arm of its campaign, and an arm runs once on a seed of the list."""
    ran: set[tuple[int, int]] = set()
    for task_id, task in rows.tasks.items():
        arm = rows.arms[task.arm_id]
        if (arm.campaign_id, arm.params) != (task.campaign_id, task.params):
            yield f"task {task_id}: has other params than its arm, or is of another campaign"
        base_seed = rows.base_seeds[task.campaign_id]
        if task.seed_index is not None and (
            base_seed is None or task.seed != seed_at(base_seed, task.seed_index)
        ):
            yield f"task {task_id}: {task.seed} is not seed {task.seed_index} of the list"
        if task.purpose != TaskPurpose.REPLAY:
            if (task.arm_id, task.seed) in ran:
                yield f"task {task_id}: its arm runs twice on the seed {task.seed}"
            ran.add((task.arm_id, task.seed))
    for arm_id in rows.arms.keys() - {task.arm_id for task in rows.tasks.values()}:
        yield f"arm {arm_id}: has no task"
    numbers: dict[int, list[int]] = {}
    for arm in rows.arms.values():
        numbers.setdefault(arm.campaign_id, []).append(arm.number)
    for campaign_id, given in numbers.items():
        if sorted(given) != list(range(len(given))):
            yield f"campaign {campaign_id}: the numbers of its arms have gaps"


def _budgets(rows: Rows) -> Iterator[str]:
    """Equal work for equal arms: steps under a work budget alone, and in seconds from a model."""
    steps: dict[int, int] = {}
    for task_id, task in rows.tasks.items():
        budget = rows.budgets[task.campaign_id]
        if task.max_steps is None:
            if budget.budget_kind == BudgetKind.WORK and not rows.arms[task.arm_id].infeasible:
                yield f"task {task_id}: has no steps under a work budget"
            continue
        if budget.budget_kind != BudgetKind.WORK:
            yield f"task {task_id}: has steps under a time budget"
        if budget.work_unit == WorkUnit.SECONDS and not budget.cost_model:
            yield f"task {task_id}: has seconds of work, and no cost model was pinned"
        if steps.setdefault(task.arm_id, task.max_steps) != task.max_steps:
            yield f"task {task_id}: has {task.max_steps} steps, another of its arm has others"


def _classes(rows: Rows) -> Iterator[str]:
    """A result is of its task's arm, and has a class exactly if it was measured."""
    for result in rows.results:
        if result.arm_id != rows.tasks[result.task_id].arm_id:
            yield f"task {result.task_id}: its result is of another arm"
        if (result.result_class_id is None) == (result.is_ranked or result.implausible):
            yield f"task {result.task_id}: its result has a class and no measured value, or none"


def _hindered(rows: Rows) -> Iterator[str]:
    """A hindered run has at most one replay, and counts only as long as no better one is there."""
    runs: dict[tuple[int, int], list[ResultRow]] = {}
    for result in rows.results:
        task = rows.tasks[result.task_id]
        runs.setdefault((task.arm_id, task.seed), []).append(result)
    for (arm_id, seed), results in runs.items():
        counted = [r for r in results if rows.tasks[r.task_id].purpose != TaskPurpose.REPLAY]
        replays = [r for r in results if r.is_ranked and r not in counted]
        replaceable = [r for r in counted if rows.tasks[r.task_id].purpose != TaskPurpose.RACE]
        if any(a.hindrances < b.hindrances for a in replays for b in replaceable):
            yield f"arm {arm_id}: on seed {seed} a hindered run counts beside a better one"


def _races(rows: Rows) -> Iterator[str]:
    """A race ends with its last decision, its looks have no gap, and each can be computed again."""
    looks: dict[int, list[DecisionRow]] = {pk: [] for pk in rows.races}
    for decision in rows.decisions:
        looks[decision.race_id].append(decision)
        again = decide(Sight.from_json(decision.saw)).outcome
        stored = decision.outcome or Outcome.GO_ON
        if stored not in {again, RaceOutcome.CANCELLED}:
            yield f"race {decision.race_id}: look {decision.look} is {stored!r}, saw {again!r}"
    for race_id, race in rows.races.items():
        outcomes = [decision.outcome for decision in looks[race_id]]
        if [decision.look for decision in looks[race_id]] != list(range(1, len(outcomes) + 1)):
            yield f"race {race_id}: its looks have gaps"
        if any(outcomes[:-1]) or (outcomes[-1:] or [""]) != [race.outcome]:
            yield f"race {race_id}: is {race.outcome!r}, its looks say {outcomes}"
        yield from _choice(rows, race_id, race)
        state = rows.campaigns[race.campaign_id]
        if not race.outcome and state not in {CampaignState.ACTIVE, CampaignState.PAUSED}:
            yield f"race {race_id}: runs in a campaign that is {state}"


def _choice(rows: Rows, race_id: int, race: RaceRow) -> Iterator[str]:
    """A race that began by itself has arms that screening knew; no two chose from the same arms."""
    if race.chosen_from is None:
        return
    if max(race.arms) >= race.chosen_from:
        yield f"race {race_id}: chose {race.arms} from {race.chosen_from} arms"
    earlier = [
        other.chosen_from
        for other in rows.races.values()
        if other.campaign_id == race.campaign_id and other.number < race.number
    ]
    if any(chosen is not None and chosen >= race.chosen_from for chosen in earlier):
        yield f"race {race_id}: is a second race of the same {race.chosen_from} arms"


def _leases(rows: Rows) -> Iterator[str]:
    """A task has at most one running attempt, and is leased exactly if that one has its lease."""
    running: dict[int, list[tuple[UUID, int]]] = {}
    for attempt in rows.attempts.values():
        if attempt.outcome == AttemptOutcome.RUNNING:
            lease = attempt.lease_id, attempt.worker_id
            running.setdefault(attempt.task_id, []).append(lease)
    for task_id, leases in running.items():
        if len(leases) > 1:
            yield f"task {task_id}: {len(leases)} attempts run at once"
        if rows.tasks[task_id].state != TaskState.LEASED:
            yield f"task {task_id}: an attempt runs, and the task is {rows.tasks[task_id].state}"
    for task_id, task in rows.tasks.items():
        held = task.lease_id, task.worker_id
        if task.state == TaskState.LEASED and held not in running.get(task_id, []):
            yield f"task {task_id}: leased, but no attempt runs under its lease {task.lease_id}"


def _holders(rows: Rows) -> Iterator[str]:
    """No worker holds more leases than one may."""
    held = Counter(task.worker_id for task in rows.tasks.values() if task.state == TaskState.LEASED)
    for worker_id, leases in held.items():
        if leases > MAX_LEASES_PER_CLAIM:
            yield f"worker {worker_id}: holds {leases} leases, {MAX_LEASES_PER_CLAIM} at most"


def _results(rows: Rows) -> Iterator[str]:
    """Exactly the completed tasks have a result, one each, of the attempt in their journal."""
    completed = {pk for pk, task in rows.tasks.items() if task.state == TaskState.COMPLETED}
    named = {
        change.task_id: change.attempt_id
        for change in rows.changes
        if (change.subject, change.to_state) == (ChangeSubject.TASK, TaskState.COMPLETED)
    }
    with_result = set()
    for result in rows.results:
        task_id, is_screening, attempt_id, campaign_id = result[:4]
        if is_screening != (rows.tasks[task_id].purpose == TaskPurpose.SCREEN):
            yield f"task {task_id}: its result is marked for the board of arms, or not, by mistake"
        if task_id in with_result:
            yield f"task {task_id}: has two results"
        with_result.add(task_id)
        attempt = rows.attempts[attempt_id]
        if task_id not in completed:
            yield f"task {task_id}: has a result, and is not completed"
        if (attempt.task_id, rows.tasks[task_id].campaign_id) != (task_id, campaign_id):
            yield f"task {task_id}: its result is of another task or campaign"
        if attempt.outcome not in BROUGHT_THE_RESULT:
            yield f"task {task_id}: its result is of an attempt that is {attempt.outcome}"
        if named.get(task_id) != attempt_id:
            yield f"task {task_id}: attempt {named.get(task_id)} completed it, not {attempt_id}"
    for task_id in completed - with_result:
        yield f"task {task_id}: completed without a result"
    winners = {result.attempt_id for result in rows.results}
    for attempt_id, attempt in rows.attempts.items():
        if attempt.outcome in BROUGHT_THE_RESULT and attempt_id not in winners:
            yield f"attempt {attempt_id}: is {attempt.outcome}, and has no result"


def _answers(rows: Rows, acknowledged: Mapping[UUID, str]) -> Iterator[str]:
    """The stored answers equal those that agents received, and fit the attempts' outcomes."""
    stored: dict[UUID, str] = {}
    for pk, attempt in rows.attempts.items():
        if not attempt.submission_digest:
            continue
        verdict = attempt.answer["verdict"] if attempt.answer else "nothing"
        stored[attempt.lease_id] = verdict
        if attempt.outcome not in OUTCOMES.get(verdict, set()):
            yield f"attempt {pk}: answered {verdict!r}, and is {attempt.outcome}"
    for lease_id, verdict in acknowledged.items():
        if stored.get(lease_id) != verdict:
            kept = stored.get(lease_id, "nothing")
            yield f"lease {lease_id}: the agent was told {verdict!r}, stored is {kept!r}"


def _journal(rows: Rows) -> Iterator[str]:
    """Each change starts from the state that the previous one reached; the last is the current."""
    reached: dict[tuple[str, int], str] = {}
    for change in rows.changes:
        row = change.subject, change.subject_id
        before, at = change.from_state, reached.get(row, FIRST_STATES[change.subject])
        # An empty from_state: the migration that introduced the journal recorded the state.
        if before != at and (row in reached or before):
            yield f"journal {change.pk}: {' '.join(map(str, row))} left {before!r}, was {at!r}"
        reached[row] = change.to_state
    current: dict[tuple[str, int], str] = {
        **{(ChangeSubject.CAMPAIGN, pk): state for pk, state in rows.campaigns.items()},
        **{(ChangeSubject.TASK, pk): task.state for pk, task in rows.tasks.items()},
        **{(ChangeSubject.ATTEMPT, pk): row.outcome for pk, row in rows.attempts.items()},
    }
    for (subject, pk), state in current.items():
        last = reached.get((subject, pk), FIRST_STATES[subject])
        if last != state:
            yield f"{subject} {pk}: is {state!r}, and its journal leads to {last!r}"
