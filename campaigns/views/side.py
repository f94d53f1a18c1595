"""The side panel of a campaign's pages: one arm or one task, named by `?open=` in the address."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from campaigns import lifecycle, steering
from campaigns.clock import database_now
from campaigns.models import MAX_NOTE_LENGTH, Arm, Campaign, Note, Task, TaskState
from campaigns.standings import arms, leaderboard
from campaigns.standings.arm_place import place_of
from campaigns.views.head import GROWING_STATES, LIVE_STATES, campaign_and_now, may_race
from campaigns.views.param_bars import param_bars
from campaigns.views.side_parts import arm_parts, is_running, task_parts
from campaigns.views.verbs import sentence_of, whole_number
from xeenet_site.web import live
from xeenet_site.web.pages import reading_page, signed_in, signed_in_user, wants_fragment

_KEY: Final = re.compile(r"(arm|task)-(0|[1-9][0-9]{0,8})")
# Panels of campaigns with more tasks refresh less often, like their pages.
_LARGE_CAMPAIGN: Final = 2_000
USUAL_TIMES: Final = 3


@dataclass(frozen=True)
class Key:
    """What is open: an arm or a task, by its number in the campaign."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.number}"


def key_in(request: HttpRequest) -> Key | None:
    """Return what the address opens; None without, or for a word that names nothing."""
    match = _KEY.fullmatch(request.GET.get("open", ""))
    return Key(match[1], int(match[2])) if match else None


def side_of(request: HttpRequest, campaign: Campaign, now: dt.datetime) -> dict[str, Any]:
    """Return the context of `_side_frame.html`: the panel that the address opens, if any.

    The page comes first: it has only the frame of the panel, which the script fills at once. With
    `?whole` in the address it has all of it, for readers without scripts. A fragment of a page has
    none, because the panel lies outside of what the page refreshes.
    """
    key = key_in(request)
    if key is None or wants_fragment(request):
        return {"side": None}
    others = request.GET.copy()
    del others["open"]
    is_whole = bool(others.pop("whole", None))
    rest = f"{others.urlencode()}&" if others else ""
    close_url = f"{request.path}?{rest}".rstrip("?&")
    base = f"{request.path}?{rest}whole=1&"
    own = f"{base}open={key}"
    if not is_whole:
        return {"side": {"key": key, "close_url": close_url, "whole_url": own}}
    # Its links and forms lead back to this page, with its filters.
    page = {"base": base, "close_url": close_url, "own_address": own}
    panel = _panel(request, campaign, key, now) | page
    if panel["subject"]:
        panel["note"]["next"] = own
    return {"side": panel}


@reading_page
def side(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer the panel alone; to its refresh what changed of it."""
    campaign, now = campaign_and_now(pk)
    key = key_in(request)
    if key is None:
        raise Http404("Open an arm or a task: ?open=arm-17, ?open=task-42.")
    if live.is_refresh(request):
        response = _live_answer(request, campaign, key, now)
    else:
        panel = _panel(request, campaign, key, now)
        status = 200 if panel["subject"] else 404
        response = render(request, "campaigns/_side.html", {"side": panel}, status=status)
    patch_vary_headers(response, [live.HEADER])
    return response


def _live_answer(
    request: HttpRequest, campaign: Campaign, key: Key, now: dt.datetime
) -> HttpResponse:
    subject = _subject(campaign, key)
    if subject is None:
        raise Http404(f"There is no {key.kind} {key.number} in this campaign.")
    held = live.held_by(request)
    is_newest = held.after == campaign.revision and held.version == live.version()
    if is_newest and not is_running(subject):
        return HttpResponse(status=live.NOTHING_CHANGED)
    panel = _frame(request, campaign, key, subject) | _parts(campaign, subject, now)
    fragment = "campaigns/_side_live.html"
    return live.answer(request, fragment, {"side": panel}, after=panel["as_of"])


def _subject(campaign: Campaign, key: Key) -> Arm | Task | None:
    if key.kind == "arm":
        rows: QuerySet[Any] = campaign.arms.select_related("note")
    else:
        rows = campaign.tasks.select_related(
            "arm", "note", "worker", "result__result_class__band"
        ).defer("result__metrics")
    subject: Arm | Task | None = rows.filter(number=key.number).first()
    if subject is not None:
        # Loaded already; the lazy read would be one more query.
        subject.campaign = campaign
    return subject


def _panel(request: HttpRequest, campaign: Campaign, key: Key, now: dt.datetime) -> dict[str, Any]:
    """Return everything that `_side.html` shows; `subject` is None when there is no such thing."""
    subject = _subject(campaign, key)
    if subject is None:
        return _links(campaign) | {"key": key, "campaign": campaign, "subject": None}
    arm = subject if isinstance(subject, Arm) else subject.arm
    parts = _parts(campaign, subject, now)
    return {
        **_frame(request, campaign, key, subject),
        **parts,
        **_neighbours(campaign, subject),
        **_race(request, campaign, arm),
        "params": arm.params,
        "address": request.build_absolute_uri(_address(campaign, key)),
        "note": note_context(request, subject),
        "bundle_url": _bundle_url(request, subject, parts["tasks"]),
        "may_grow": steering.may_change(request.user, campaign)
        and campaign.state in GROWING_STATES
        and not arm.infeasible,
        "usual_times": USUAL_TIMES,
        "most_times": lifecycle.MOST_TIMES_AGAIN,
        "now": now,
    }


def _frame(
    request: HttpRequest, campaign: Campaign, key: Key, subject: Arm | Task
) -> dict[str, Any]:
    return _links(campaign) | {
        "key": key,
        "campaign": campaign,
        "spec": campaign.metric_spec,
        "subject": subject,
        "own_address": _address(campaign, key),
        "is_live": campaign.state in LIVE_STATES,
        "poll_seconds": 3 if campaign.task_count <= _LARGE_CAMPAIGN else 15,
        "live_url": f"{reverse('campaign-side', args=[campaign.pk])}?open={key}",
        "may_change": steering.may_change(request.user, campaign),
    }


def _links(campaign: Campaign) -> dict[str, str]:
    """Return what an address begins with that opens something else, and the one that closes."""
    address = campaign.get_absolute_url()
    return {"base": f"{address}?", "close_url": address}


def _parts(campaign: Campaign, subject: Arm | Task, now: dt.datetime) -> dict[str, Any]:
    arm = subject if isinstance(subject, Arm) else subject.arm
    parts = {
        "arm": arm,
        "bars": param_bars(campaign, arm.params),
        "constant": leaderboard.varying_params(campaign)[1],
    }
    if isinstance(subject, Arm):
        parts |= arm_parts(campaign, subject, now=now)
    else:
        parts |= task_parts(campaign, subject, now=now)
    # The curve of a run grows without a new revision.
    parts["as_of"] = "-" if parts["state"] == TaskState.LEASED else str(campaign.revision)
    return parts


def _address(campaign: Campaign, key: Key) -> str:
    return f"{campaign.get_absolute_url()}?open={key}"


def _neighbours(campaign: Campaign, subject: Arm | Task) -> dict[str, Any]:
    """Return what comes before and after it: on the board, or in the list of tasks.

    The script follows the list behind the panel instead, as it is filtered and sorted.
    """
    if isinstance(subject, Arm):
        place = place_of(campaign, subject)
        before, after = place.before, place.after
    else:
        before = subject.number - 1 if subject.number else None
        after = subject.number + 1 if subject.number + 1 < campaign.tasks_made else None
    kind = "arm" if isinstance(subject, Arm) else "task"
    return {
        "before": None if before is None else Key(kind, before),
        "after": None if after is None else Key(kind, after),
    }


def _race(request: HttpRequest, campaign: Campaign, arm: Arm) -> dict[str, Any]:
    """Return against which arm this one would race: the first row, or the row after it."""
    if not may_race(request.user, campaign) or arm.infeasible:
        return {"rival": None}
    first = arms.first(campaign)
    rival = first.arm if first else None
    if rival == arm.number:
        rival = place_of(campaign, arm).after
    return {"rival": rival, "race_seeds": campaign.race_seeds}


def _bundle_url(request: HttpRequest, subject: Arm | Task, tasks: Sequence[Task]) -> str:
    """Return where the bundle is that repeats the run; only people who are signed in get one.

    Of an arm it is that of the first of its tasks which has a result.
    """
    if not request.user.is_authenticated:
        return ""
    task: Task | None = subject if isinstance(subject, Task) else None
    if isinstance(subject, Arm) and tasks:
        task = next((task for task in tasks if hasattr(task, "result")), tasks[0])
    return reverse("task-bundle", args=task.name) if task else ""


def note_context(
    request: HttpRequest, subject: Arm | Task, *, error: str = "", typed: str | None = None
) -> dict[str, Any]:
    """Return the context of `_side_note.html`. `typed` is a text that could not be stored."""
    note: Note | None = getattr(subject, "note", None)
    kind = "arm" if isinstance(subject, Arm) else "task"
    return {
        "url": reverse(f"{kind}-note", args=[subject.campaign_id, subject.number]),
        "text": note.text if note else "",
        "typed": (note.text if note else "") if typed is None else typed,
        "author": note.author_name if note else "",
        "edited_at": note.edited_at if note else None,
        "edits": note.edits if note else 0,
        "error": error,
        "may_change": steering.may_change(request.user, subject.campaign),
        "most": MAX_NOTE_LENGTH,
        "next": _address(subject.campaign, Key(kind, subject.number)),
    }


@signed_in
@require_POST
def run_again(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Add tasks of an arm on its next seeds, and show the arm."""
    arm = get_object_or_404(Arm.objects.select_related("campaign"), campaign=pk, number=number)
    try:
        times = whole_number(request, "times")
        tasks = steering.run_again(signed_in_user(request), arm, times, now=database_now())
    except lifecycle.LifecycleError as error:
        messages.error(request, f"No run was added. {sentence_of(error)}")
    else:
        numbers = f"{tasks[0].number} to {tasks[-1].number}" if times > 1 else tasks[0].number
        messages.success(
            request,
            f"Arm {arm.number} runs on {times} further seed{'s' if times > 1 else ''}: "
            f"task{'s' if times > 1 else ''} {numbers}.",
        )
    return HttpResponseRedirect(_back(request, arm.campaign, Key("arm", arm.number)))


@signed_in
@require_POST
def write_note(request: HttpRequest, pk: int, number: int, kind: str) -> HttpResponse:
    """Store the note on an arm or a task. With htmx answer the field, else show the panel again."""
    rows: QuerySet[Any] = Arm.objects.all() if kind == "arm" else Task.objects.all()
    subject = get_object_or_404(rows.select_related("campaign"), campaign=pk, number=number)
    text, error = request.POST.get("text", ""), ""
    try:
        edits = whole_number(request, "edits") if "edits" in request.POST else None
        steering.write_note(signed_in_user(request), subject, text, edits=edits, now=database_now())
    except lifecycle.LifecycleError as refusal:
        error = f"The note is not saved. {sentence_of(refusal)}"
    if not wants_fragment(request):
        if error:
            messages.error(request, error)
        else:
            messages.success(request, "The note is saved.")
        return HttpResponseRedirect(_back(request, subject.campaign, Key(kind, subject.number)))
    subject = rows.select_related("campaign", "note").get(pk=subject.pk)
    context = note_context(request, subject, error=error, typed=text if error else None)
    return render(
        request,
        "campaigns/_side_note.html",
        {"note": context | {"saved": not error}, "now": database_now()},
    )


def _back(request: HttpRequest, campaign: Campaign, key: Key) -> str:
    """Return the address to show again: the page that sent the form, if it is one of ours."""
    address = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return address
    return _address(campaign, key)
