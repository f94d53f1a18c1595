"""Which requests the page's server answers at all. Pure.

Any website can make a browser send requests to 127.0.0.1, and can give itself a name that points
there. So the server answers only to its own address, only to its own page, and says nothing that
lets another origin read along.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from workers.agent.page.messages import Reply, Request, problem

API: Final = "/api/"
_SAME_SITE: Final = frozenset({"same-origin", "none"})
_BEARER: Final = "Bearer "


def refusal(request: Request, host: str) -> Reply | None:
    """Return why a request does not come from the page at ``host``; None when it may."""
    headers = request.headers
    if headers.get("host") != host:  # a name that was pointed at this machine
        return problem(HTTPStatus.MISDIRECTED_REQUEST, "This server has another name.")
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return problem(HTTPStatus.FORBIDDEN, "Another page sent this.")
    if request.path.startswith(API) and headers.get("sec-fetch-site", "none") not in _SAME_SITE:
        return problem(HTTPStatus.FORBIDDEN, "Another site sent this.")
    if request.method == "GET":
        return None
    if request.method != "POST":
        return problem(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and POST are answered.")
    if origin is None:  # browsers always name it
        return problem(HTTPStatus.FORBIDDEN, "The origin is missing.")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only JSON is read.")
    return None


def token_of(request: Request) -> str:
    """Return the token that a request carries; "" without one."""
    header = request.headers.get("authorization", "")
    return header.removeprefix(_BEARER) if header.startswith(_BEARER) else ""
