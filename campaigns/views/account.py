"""What belongs to a person: the settings page with its tokens; and the log of what people did."""

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
from campaigns.models import Package, PersonalToken
from campaigns.tokens import personal_tokens
from workers.models import AuditEntry
from xeenet_site.web import roles
from xeenet_site.web.pages import page_or_fragment, signed_in, signed_in_user

ENTRIES_PER_PAGE = 50
# What an entry's target is called in AuditEntry.target_kind, and the page that shows it.
TARGET_PAGES = {"campaign": "campaign", "task": "task", "worker": "worker"}
KIND_WORDS = {
    "dataset": "data set",
    "enrolmenttoken": "invitation",
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
    """Make a personal token and show it, this once."""
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
    messages.success(request, f"The token “{name}” is revoked: it opens nothing any more.")
    return redirect("account")


@signed_in
def audit_log(request: HttpRequest) -> HttpResponse:
    """Show operators what people did, newest first; with htmx the table alone."""
    if not roles.may_operate(request.user):
        raise PermissionDenied("Only operators may read the audit log.")
    search = {name: request.GET.get(name, "").strip() for name in ("person", "verb", "kind", "q")}
    page = Paginator(_found(search), ENTRIES_PER_PAGE).get_page(request.GET.get("page"))
    shown = list(page.object_list)
    named = {_script_hash(entry) for entry in shown} - {""}
    scripts = set(Package.objects.filter(pk__in=named).values_list("pk", flat=True))
    entries = AuditEntry.objects.order_by()
    context = {
        "page": page,
        "entries": [
            (
                entry,
                KIND_WORDS.get(entry.target_kind, entry.target_kind),
                _target_url(entry, scripts),
            )
            for entry in shown
        ],
        "search": search,
        "filtered": any(search.values()),
        "verbs": entries.order_by("verb").values_list("verb", flat=True).distinct(),
        "kinds": [
            (kind, KIND_WORDS.get(kind, kind))
            for kind in entries.order_by("target_kind")
            .values_list("target_kind", flat=True)
            .distinct()
        ],
        "now": database_now(),
    }
    return page_or_fragment(request, "account/audit.html", "account/_audit.html", context)


def _found(search: dict[str, str]) -> QuerySet[AuditEntry]:
    lookups = {
        "person": "actor_name__icontains",
        "verb": "verb",
        "kind": "target_kind",
        "q": "target_name__icontains",
    }
    # No database stores a NUL; PostgreSQL refuses even to look for one.
    wanted = {lookups[name]: text for name, text in search.items() if text and "\0" not in text}
    return AuditEntry.objects.filter(**wanted)


def _script_hash(entry: AuditEntry) -> str:
    """Return the hash of the script that an entry is about; "" for what is none."""
    # Of a declined one the reason stands behind it.
    return entry.detail.partition(" ")[0] if entry.target_kind == "package" else ""


def _target_url(entry: AuditEntry, scripts: set[str]) -> str:
    """Return the page of an entry's target, "" without one; of scripts only these are stored."""
    if (sha256 := _script_hash(entry)) in scripts:
        return reverse("script", args=[sha256])
    page = TARGET_PAGES.get(entry.target_kind)
    return reverse(page, args=[entry.target_id]) if page and entry.target_id else ""
