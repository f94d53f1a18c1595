"""The tabs of a campaign other than results and analysis: tasks, workers, log."""

from __future__ import annotations

from typing import Any, Final

from django.core.paginator import Paginator
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse

from campaigns import history
from campaigns.caching import cached_keys
from campaigns.models import Campaign, FailureClass, Task, TaskState
from campaigns.standings import contributions, leaderboard
from campaigns.standings.task_counts import failed_by_class, tasks_by_state
from campaigns.views.head import campaign_and_now, head_context
from campaigns.views.side import side_of
from campaigns.views.table_heads import Head, columns, known_sort, value_head
from xeenet_site.web.pages import page_or_fragment, reading_page

TASKS_PER_PAGE: Final = 50
EVENTS_PER_PAGE: Final = 50
# Columns of params in the list of tasks; the panel of a task has all of them.
PARAMS_SHOWN: Final = 6
MAX_QUERY: Final = 200

_TASK_FIELDS: Final = {
    "number": "number",
    "state": "state",
    "value": "result__value",
    "failure": "failure_class",
    "seed": "seed",
    "failures": "failed_attempts",
    "losses": "lost_attempts",
    "ended": "finished_at",
}
# These orders change only when tasks end or are added, that is, with the campaign's revision. So
# they can be cached. The other orders change with every lease.
_SETTLED_FIELDS: Final = frozenset({"number", "value", "failure", "seed", "ended"})
_OPEN_STATES: Final = frozenset({TaskState.PENDING, TaskState.LEASED})


@reading_page
def tasks(request: HttpRequest, pk: int) -> HttpResponse:
    """List a campaign's tasks, filtered and sorted as the address says."""
    campaign, now = campaign_and_now(pk)
    state = _known(request.GET.get("state", ""), TaskState.values)
    failure = _known(request.GET.get("failure", ""), FailureClass.values)
    query = request.GET.get("q", "").replace("\0", "\ufffd").strip()[:MAX_QUERY]
    varying = leaderboard.varying_params(campaign)[0][:PARAMS_SHOWN]
    heads = _task_heads(campaign, varying)
    sort = known_sort(heads, request.GET.get("sort", ""), "number")
    by_state, failures = tasks_by_state(campaign), failed_by_class(campaign)
    paginator: Paginator[Task] = Paginator((), TASKS_PER_PAGE)
    # The numbers in the filters are counted already, so the paginator needs no query.
    if query:
        paginator.count = _filtered(campaign, state, failure, query).count()
    else:
        paginator.count = failures.get(failure, 0) if failure else _total(by_state, state)
    page = paginator.get_page(request.GET.get("page"))
    start = (page.number - 1) * TASKS_PER_PAGE
    page.object_list = _part(campaign, state, failure, query, sort, start)
    context = head_context(request, campaign, now, by_state=by_state) | {
        "states": list(by_state.items()),
        "state": state,
        "failures": failures,
        "failure": failure,
        "query": query,
        "max_query": MAX_QUERY,
        "columns": columns(heads, sort),
        "sort": sort,
        "page": page,
        "rows": [(task, [task.params.get(name) for name in varying]) for task in page.object_list],
    }
    return show_tab(request, "Tasks", "campaigns/_tasks.html", context)


def _task_heads(campaign: Campaign, varying: list[str]) -> list[Head]:
    """Return the columns; `varying` are the params that have one."""
    return [
        Head("number", "Task", is_number=True),
        Head("state", "State"),
        value_head(campaign.metric_spec),
        Head("failure", "Failure"),
        *(Head(f"param.{name}", name, wide_only=True, sortable=False) for name in varying),
        Head("worker", "Runs on", wide_only=True, sortable=False),
        Head("seed", "Seed", is_number=True, wide_only=True),
        Head("failures", "Failures", is_number=True, wide_only=True),
        Head("losses", "Losses", is_number=True, wide_only=True),
        Head("ended", "Ended", wide_only=True),
    ]


def _known(word: str, words: list[str]) -> str:
    return word if word in words else ""


def _total(by_state: dict[str, int], state: str) -> int:
    return by_state[state] if state else sum(by_state.values())


def _part(
    campaign: Campaign, state: str, failure: str, query: str, sort: str, start: int
) -> list[Task]:
    """Return the tasks of one page, from `start` on, with worker and result loaded.

    Their keys are read first, because an offset into complete rows would load all rows before it.
    """

    def read(first: int, last: int) -> list[int]:
        tasks = _sorted(_filtered(campaign, state, failure, query), sort)
        return list(tasks.values_list("number", flat=True)[first:last])

    end = start + TASKS_PER_PAGE
    filters = {"state": state, "failure": failure, "sort": sort}
    # Notes change without a revision, so what they select is not cached.
    if not query and sort.removeprefix("-") in _SETTLED_FIELDS and state not in _OPEN_STATES:
        numbers = cached_keys(campaign, "tasks", read, start, end, **filters)
    else:
        numbers = read(start, end)
    related = ("worker", "result", "note", "arm__note")
    loaded = campaign.tasks.filter(number__in=numbers).select_related(*related)
    by_number = {task.number: task for task in loaded.order_by()}
    return [by_number[number] for number in numbers if number in by_number]


def _filtered(campaign: Campaign, state: str, failure: str, query: str) -> QuerySet[Task]:
    tasks = campaign.tasks.all()
    if failure:
        tasks = tasks.filter(state=TaskState.FAILED, failure_class=failure)
    elif state:
        tasks = tasks.filter(state=state)
    if query:
        notes = campaign.notes.filter(text__icontains=query).order_by()
        # Two subqueries: for a join on either, the database reads all tasks of the campaign.
        tasks = tasks.filter(
            Q(pk__in=notes.filter(task__isnull=False).values("task"))
            | Q(arm__in=notes.filter(arm__isnull=False).values("arm"))
        )
    return tasks


def _sorted(tasks: QuerySet[Task], sort: str) -> QuerySet[Task]:
    """Sort by a column. Tasks without a value always come last."""
    field = F(_TASK_FIELDS[sort.removeprefix("-")])
    if sort in {"number", "-number"}:
        # Without nulls_last, so that the index of the unique numbers gives the order.
        return tasks.order_by(sort)
    descending = sort.startswith("-")
    first = field.desc(nulls_last=True) if descending else field.asc(nulls_last=True)
    return tasks.order_by(first, "number")


@reading_page
def workers(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what each worker contributed to this campaign."""
    campaign, now = campaign_and_now(pk)
    context = head_context(request, campaign, now) | {
        "rows": contributions.of_workers(campaign, now=now),
    }
    return show_tab(request, "Workers", "campaigns/_workers.html", context)


@reading_page
def log(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the log of this campaign, newest first; with ?every=1 every change of state."""
    campaign, now = campaign_and_now(pk)
    before = history.Position.parse(request.GET.get("before", ""))
    every = request.GET.get("every") == "1"
    read = history.every_change if every else history.events
    events = read(campaign, before=before, limit=EVENTS_PER_PAGE + 1)
    context = head_context(request, campaign, now) | {
        "events": events[:EVENTS_PER_PAGE],
        "older": events[EVENTS_PER_PAGE - 1].position if len(events) > EVENTS_PER_PAGE else None,
        "is_newest": before is None,
        "every": every,
    }
    return show_tab(request, "Log", "campaigns/_log.html", context)


def show_tab(
    request: HttpRequest, title: str, fragment: str, context: dict[str, Any]
) -> HttpResponse:
    """Return a tab of a campaign, or with htmx only its fragment."""
    context |= {"tab_title": title, "fragment": fragment}
    context |= side_of(request, context["campaign"], context["now"])
    return page_or_fragment(request, "campaigns/tab.html", fragment, context)
