"""What every page has in common: who may read it, and whole page or htmx fragment.

Below `campaigns`, so that the pages of both apps share it.
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

from xeenet_site.web import roles

P = ParamSpec("P")
PageView = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def reading_page(view: PageView[P]) -> PageView[P]:
    """Show the page to everybody when XEENET["ANONYMOUS_READ"], else to people signed in."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if roles.may_read(request.user):
            return view(request, *args, **kwargs)
        return to_login(request)

    return guarded


def signed_in(view: PageView[P]) -> PageView[P]:
    """Let only people signed in pass; the others come back here after signing in."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return to_login(request)

    return guarded


def signed_in_user(request: HttpRequest) -> User:
    """Return the person behind a `signed_in` view."""
    assert isinstance(request.user, User)  # noqa: S101 - the decorator has seen to it
    return request.user


def roles_context(request: HttpRequest) -> dict[str, bool]:
    """Context processor: what the person may do, for buttons and links."""
    user = getattr(request, "user", None)
    return {"may_create": roles.may_create(user), "may_operate": roles.may_operate(user)}


def to_login(request: HttpRequest) -> HttpResponse:
    """Send to the sign-in page; the whole window, also when htmx asked for a fragment of it."""
    if wants_fragment(request):
        return HttpResponseClientRedirect(reverse("login"))
    # A POST cannot be repeated after signing in: come back to the page it was sent from.
    back = request.get_full_path() if request.method == "GET" else reverse("overview")
    return redirect_to_login(back)


def wants_fragment(request: HttpRequest) -> bool:
    """Return whether htmx asked, for a part of the page that it already shows."""
    htmx = request.htmx  # type: ignore[attr-defined]  # set by HtmxMiddleware
    # Back and forward: htmx asks for the page anew, and wants all of it.
    return bool(htmx) and not htmx.history_restore_request


def page_or_fragment(
    request: HttpRequest, page: str, fragment: str, context: dict[str, Any]
) -> HttpResponse:
    """Render the whole page, or for htmx the fragment that the page includes."""
    response = render(request, fragment if wants_fragment(request) else page, context)
    # One address, two answers: no cache, the browser's own included, may mix them up.
    patch_vary_headers(response, ["HX-Request"])
    return response
