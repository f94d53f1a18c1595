"""The settings page with a person's tokens, and the page of the audit log."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from campaigns.clock import database_now
from campaigns.models import Package, PersonalToken, Task
from campaigns.tokens import personal_tokens
from workers.models import AuditEntry
from xeenet_site.web import roles
from xeenet_site.web.pages import page_or_fragment, signed_in, signed_in_user

ENTRIES_PER_PAGE = 50
# AuditEntry.target_kind -> name of the URL that shows such a target.
TARGET_PAGES = {"campaign": "campaign", "worker": "worker"}
KIND_WORDS = {
    "dataset": "data set",
    "enrolmenttoken": "invitation",
    "fleettoken": "fleet",
    "group": "role",
    "package": "script",
    "personaltoken": "personal token",
    "user": "account",
    "webhookdelivery": "delivery",
}


@signed_in
@never_cache
def account(request: HttpRequest) -> HttpResponse:
    """Show the person's role, tokens and theme."""
    return render(request, "account/account.html", _account(request))


def _account(request: HttpRequest) -> dict[str, Any]:
    user = signed_in_user(request)
    return {
        "role": roles.role_of(user),
        "roles": [
            (roles.VIEWER, "reads everything"),
            (roles.RESEARCHER, "also creates campaigns, and changes their own"),
            (roles.OPERATOR, "also changes every campaign, steers workers, reads the audit log"),
        ],
        "tokens": PersonalToken.objects.filter(user=user),
        "max_name_length": personal_tokens.MAX_NAME_LENGTH,
        "api_url": request.build_absolute_uri(reverse("api-campaigns")),
        "now": database_now(),
    }


@signed_in
@require_POST
@never_cache
def create_token(request: HttpRequest) -> HttpResponse:
    """Make a personal token and show it. It cannot be shown again."""
    user, name = signed_in_user(request), request.POST.get("name", "").strip()
    try:
        token, secret = personal_tokens.create(user, name, now=database_now(), actor=user)
    except personal_tokens.TokenRefused as error:
        context = _account(request) | {"name": name, "name_error": str(error)}
        return render(request, "account/account.html", context, status=422)
    context = _account(request) | {"created": token, "secret": secret}
    return render(request, "account/account.html", context)


@signed_in
@require_POST
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke one of the person's own tokens."""
    user = signed_in_user(request)
    token = get_object_or_404(PersonalToken, pk=pk, user=user)
    name = token.name
    personal_tokens.revoke(token, actor=user, now=database_now())
    messages.success(request, f"The token “{name}” is revoked: it is no longer valid.")
    return redirect("account")


@signed_in
def audit_log(request: HttpRequest) -> HttpResponse:
    """Show the audit log to operators, newest entry first. With htmx only the table."""
    if not roles.may_operate(request.user):
        raise PermissionDenied("Only operators may read the audit log.")
    search = {name: request.GET.get(name, "").strip() for name in ("person", "verb", "kind", "q")}
    page = Paginator(_matching(search), ENTRIES_PER_PAGE).get_page(request.GET.get("page"))
    entries = list(page.object_list)
    hashes = {_script_hash(entry) for entry in entries} - {""}
    scripts = set(Package.objects.filter(pk__in=hashes).values_list("pk", flat=True))
    task_ids = [entry.target_id for entry in entries if entry.target_kind == "task"]
    tasks = Task.objects.only("campaign_id", "number").in_bulk(task_ids) if task_ids else {}
    all_entries = AuditEntry.objects.order_by()
    context = {
        "page": page,
        "entries": [
            (
                entry,
                KIND_WORDS.get(entry.target_kind, entry.target_kind),
                _target_url(entry, scripts, tasks),
            )
            for entry in entries
        ],
        "search": search,
        "filtered": any(search.values()),
        "verbs": all_entries.order_by("verb").values_list("verb", flat=True).distinct(),
        "kinds": [
            (kind, KIND_WORDS.get(kind, kind))
            for kind in all_entries.order_by("target_kind")
            .values_list("target_kind", flat=True)
            .distinct()
        ],
        "now": database_now(),
    }
    return page_or_fragment(request, "account/audit.html", "account/_audit.html", context)


def _matching(search: dict[str, str]) -> QuerySet[AuditEntry]:
    lookups = {
        "person": "actor_name__icontains",
        "verb": "verb",
        "kind": "target_kind",
        "q": "target_name__icontains",
    }
    # Ignore a text with a NUL: no database stores one, and PostgreSQL refuses to look for it.
    conditions = {lookups[name]: text for name, text in search.items() if text and "\0" not in text}
    return AuditEntry.objects.filter(**conditions)


def _script_hash(entry: AuditEntry) -> str:
    """Return the hash of the script that an entry is about; "" if it is not about a script."""
    # The detail begins with the hash. For a declined script the reason follows.
    return entry.detail.partition(" ")[0] if entry.target_kind == "package" else ""


def _target_url(entry: AuditEntry, scripts: set[str], tasks: dict[int, Task]) -> str:
    """Return the address of the page of an entry's target, or "" if there is none.

    `scripts` are the hashes of the scripts that still exist, `tasks` those of the entries by id.
    """
    if (sha256 := _script_hash(entry)) in scripts:
        return reverse("script", args=[sha256])
    if entry.target_kind == "task":
        task = tasks.get(entry.target_id or 0)
        return task.get_absolute_url() if task else ""
    page = TARGET_PAGES.get(entry.target_kind)
    return reverse(page, args=[entry.target_id]) if page and entry.target_id else ""
