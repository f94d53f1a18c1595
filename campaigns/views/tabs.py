"""The tabs of a campaign beside its results: tasks, workers, log."""

from __future__ import annotations

from typing import Any, Final

from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse

from campaigns import history
from campaigns.caching import cached_keys
from campaigns.clock import database_now
from campaigns.models import Campaign, FailureClass, Task, TaskState
from campaigns.standings import contributions
from campaigns.standings.task_counts import failed_by_class, tasks_by_state
from campaigns.views.head import head_context, shown_campaign
from campaigns.views.table_heads import Head, columns, known_sort
from xeenet_site.web.pages import page_or_fragment, reading_page

TASKS_PER_PAGE: Final = 50
EVENTS_PER_PAGE: Final = 50

TASK_HEADS: Final = (
    Head("number", "Task", is_number=True),
    Head("state", "State"),
    Head("val_bpb", "val_bpb", "bits/byte", is_number=True),
    Head("failure", "Failure"),
    Head("worker", "Runs on", wide_only=True, sortable=False),
    Head("seed", "Seed", is_number=True, wide_only=True),
    Head("failures", "Failures", is_number=True, wide_only=True),
    Head("losses", "Losses", is_number=True, wide_only=True),
    Head("ended", "Ended", wide_only=True),
)
_TASK_FIELDS: Final = {
    "number": "number",
    "state": "state",
    "val_bpb": "result__val_bpb",
    "failure": "failure_class",
    "seed": "seed",
    "failures": "failed_attempts",
    "losses": "lost_attempts",
    "ended": "finished_at",
}
# Orders that change only as tasks end or are added: with the campaign's revision. The others
# follow the leases.
_SETTLED_FIELDS: Final = frozenset({"number", "val_bpb", "failure", "seed", "ended"})
_OPEN_STATES: Final = frozenset({TaskState.PENDING, TaskState.LEASED})


@reading_page
def tasks(request: HttpRequest, pk: int) -> HttpResponse:
    """List a campaign's tasks, of one state and failure class if asked for, in any order."""
    shown = shown_campaign(pk)
    now = database_now()
    state = _known(request.GET.get("state", ""), TaskState.values)
    failure = _known(request.GET.get("failure", ""), FailureClass.values)
    sort = known_sort(TASK_HEADS, request.GET.get("sort", ""), "number")
    by_state, failures = tasks_by_state(shown), failed_by_class(shown)
    paginator: Paginator[Task] = Paginator((), TASKS_PER_PAGE)
    # What the filters say they hold is counted already.
    paginator.count = failures.get(failure, 0) if failure else _total(by_state, state)
    page = paginator.get_page(request.GET.get("page"))
    page.object_list = _part(shown, state, failure, sort, (page.number - 1) * TASKS_PER_PAGE)
    context = head_context(request, shown, now, by_state=by_state) | {
        "states": list(by_state.items()),
        "state": state,
        "failures": failures,
        "failure": failure,
        "columns": columns(TASK_HEADS, sort),
        "page": page,
    }
    return _tab(request, "Tasks", "campaigns/_tasks.html", context)


def _known(asked: str, words: list[str]) -> str:
    return asked if asked in words else ""


def _total(by_state: dict[str, int], state: str) -> int:
    return by_state[state] if state else sum(by_state.values())


def _part(shown: Campaign, state: str, failure: str, sort: str, start: int) -> list[Task]:
    """Return the tasks of one page, from `start` on, with worker and result loaded.

    Their keys are found first: the rows before them would be loaded only to be thrown away.
    """

    def read(first: int, last: int) -> list[int]:
        keys = _sorted(_filtered(shown, state, failure), sort).values_list("number", flat=True)
        return list(keys[first:last])

    end = start + TASKS_PER_PAGE
    asked = {"state": state, "failure": failure, "sort": sort}
    is_kept = sort.removeprefix("-") in _SETTLED_FIELDS and state not in _OPEN_STATES
    numbers = (
        cached_keys(shown, "tasks", read, start, end, **asked) if is_kept else read(start, end)
    )
    loaded = shown.tasks.filter(number__in=numbers).select_related("worker", "result")
    by_number = {task.number: task for task in loaded.order_by()}
    return [by_number[number] for number in numbers if number in by_number]


def _filtered(shown: Campaign, state: str, failure: str) -> QuerySet[Task]:
    if failure:
        return shown.tasks.filter(state=TaskState.FAILED, failure_class=failure)
    return shown.tasks.filter(state=state) if state else shown.tasks.all()


def _sorted(found: QuerySet[Task], sort: str) -> QuerySet[Task]:
    """Sort by a column; what has no value comes last either way."""
    field = F(_TASK_FIELDS[sort.removeprefix("-")])
    if sort in {"number", "-number"}:
        # Plain, so that the index of unique numbers gives the order.
        return found.order_by(sort)
    descending = sort.startswith("-")
    first = field.desc(nulls_last=True) if descending else field.asc(nulls_last=True)
    return found.order_by(first, "number")


@reading_page
def workers(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what each worker did for this campaign."""
    shown = shown_campaign(pk)
    now = database_now()
    context = head_context(request, shown, now) | {
        "rows": contributions.of_workers(shown, now=now),
    }
    return _tab(request, "Workers", "campaigns/_workers.html", context)


@reading_page
def log(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what happened to this campaign, or every change of state, newest first, by pages."""
    shown = shown_campaign(pk)
    now = database_now()
    before = history.Position.parse(request.GET.get("before", ""))
    every = request.GET.get("every") == "1"
    read = history.every_change if every else history.events
    events = read(shown, before=before, limit=EVENTS_PER_PAGE + 1)
    context = head_context(request, shown, now) | {
        "events": events[:EVENTS_PER_PAGE],
        "older": events[EVENTS_PER_PAGE - 1].position if len(events) > EVENTS_PER_PAGE else None,
        "is_newest": before is None,
        "every": every,
    }
    return _tab(request, "Log", "campaigns/_log.html", context)


def _tab(request: HttpRequest, title: str, fragment: str, context: dict[str, Any]) -> HttpResponse:
    context |= {"tab_title": title, "fragment": fragment}
    return page_or_fragment(request, "campaigns/tab.html", fragment, context)
