"""Shared by all pages: who may read them, and whether to answer a whole page or a fragment.

It lies below both apps, so that both can import it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect

from xeenet_site.web import live, roles

P = ParamSpec("P")
PageView = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def reading_page(view: PageView[P]) -> PageView[P]:
    """Show the page to signed-in people, and to everybody if XEENET["ANONYMOUS_READ"] is on."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if roles.may_read(request.user):
            return view(request, *args, **kwargs)
        return to_login(request)

    return guarded


def signed_in(view: PageView[P]) -> PageView[P]:
    """Show the page to signed-in people; send others to sign in and back here afterwards."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return to_login(request)

    return guarded


def signed_in_user(request: HttpRequest) -> User:
    """Return the user of a request to a `signed_in` view."""
    assert isinstance(request.user, User)  # noqa: S101 - `signed_in` guarantees it
    return request.user


def roles_context(request: HttpRequest) -> dict[str, bool]:
    """Context processor: the person's permissions, which decide on buttons and links."""
    user = getattr(request, "user", None)
    return {"may_create": roles.may_create(user), "may_operate": roles.may_operate(user)}


def server_url(request: HttpRequest) -> str:
    """Return this address of the server with its base path, and no slash at the end.

    The host is from the Host header, which Django has checked against ALLOWED_HOSTS.
    """
    return request.build_absolute_uri(reverse("overview")).rstrip("/")


def to_login(request: HttpRequest) -> HttpResponse:
    """Redirect to the sign-in page; for an htmx request, redirect the whole window."""
    if wants_fragment(request):
        return HttpResponseClientRedirect(reverse("login"))
    # A POST cannot be repeated after signing in: return to the overview instead.
    back = request.get_full_path() if request.method == "GET" else reverse("overview")
    return redirect_to_login(back)


def wants_fragment(request: HttpRequest) -> bool:
    """Return whether a page that is already shown requests a fragment, or what changed of it."""
    if live.is_refresh(request):
        return True
    htmx = request.htmx  # type: ignore[attr-defined]  # set by HtmxMiddleware
    # When the browser goes back or forward, htmx requests the whole page again.
    return bool(htmx) and not htmx.history_restore_request


def page_or_fragment(
    request: HttpRequest,
    page: str,
    fragment: str,
    context: dict[str, Any],
    *,
    points: Callable[[int], dict[str, Any] | None] | None = None,
) -> HttpResponse:
    """Render the whole page, for htmx only its fragment, for `live.js` only what changed of that.

    `points` returns what the page's chart is to append; see `live.answer`.
    """
    if live.is_refresh(request):
        response = live.answer(request, fragment, context, points=points)
    else:
        response = render(request, fragment if wants_fragment(request) else page, context)
    # The same URL has several answers: tell caches, including the browser's, to keep them apart.
    patch_vary_headers(response, ["HX-Request", live.HEADER])
    return response
