"""What a request passes before Django reads it: bounds on its head, and the base path.

Python and Django read some headers in quadratic time: 60 kB of quoted cookie take seconds, 400 kB
of Content-Type minutes. One GET without an account would keep a thread busy for as long. So the
length of everything in a request's head is bounded here, before any code looks into it.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog

from workers.protocol import API_PREFIX, ErrorCode
from xeenet_site import logs

MAX_PATH_CHARACTERS: Final = 2048
MAX_QUERY_CHARACTERS: Final = 16 * 1024
MAX_HEADER_CHARACTERS: Final = 8 * 1024
# Headers that need little and that are expensive to read.
MOST_CHARACTERS: Final = {
    "CONTENT_TYPE": 256,
    "CONTENT_LENGTH": 20,
    "HTTP_ACCEPT": 1024,
    "HTTP_HOST": 300,
}
# Python reads a quoted cookie once more for each backslash. No cookie of ours has any.
MAX_COOKIE_BACKSLASHES: Final = 200
_TOO_LARGE: Final = "431 Request Header Fields Too Large"
_BASE_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]++)++")
_MAX_BASE_CHARACTERS: Final = 200
# The first parts of XeeNet's own paths. Behind a proxy that strips the base path, a base path that
# starts with one of them could not be told from a page. tests/running/test_base_path.py has all.
_OWN_PATHS: Final = frozenset(
    {
        "account",
        "admin",
        "agents",
        "api",
        "audit",
        "campaigns",
        "compare",
        "first-account",
        "healthz",
        "login",
        "logout",
        "metrics",
        "password",
        "readyz",
        "scripts",
        "static",
        "tasks",
        "webhooks",
        "workers",
    }
)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(logs.REQUESTS)


class FrontDoor:
    """A WSGI application around Django's: refuses too large heads and strips the base path.

    A proxy in front either strips the base path or passes it on; both kinds work.
    """

    def __init__(self, application: Application, base_path: str = "") -> None:
        self._application = application
        self._base_path = base_path

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        problem = head_problem(environ)
        if problem is not None:
            return _refuse(environ, start_response, *problem)
        path = environ.get("PATH_INFO", "")
        if self._base_path and path == self._base_path:
            return _redirect(environ, start_response, f"{path}/")
        environ["PATH_INFO"] = without_base(path, self._base_path)
        return self._application(environ, start_response)


def head_problem(environ: Environ) -> tuple[str, str] | None:
    """Return the HTTP status and a sentence for a head that is too large, None for others."""
    if len(environ.get("PATH_INFO", "")) > MAX_PATH_CHARACTERS:
        return "414 URI Too Long", f"The path is longer than {MAX_PATH_CHARACTERS} characters."
    if len(environ.get("QUERY_STRING", "")) > MAX_QUERY_CHARACTERS:
        return "414 URI Too Long", f"The query is longer than {MAX_QUERY_CHARACTERS} characters."
    for key, value in environ.items():
        if not (key.startswith("HTTP_") or key in MOST_CHARACTERS):
            continue
        most = MOST_CHARACTERS.get(key, MAX_HEADER_CHARACTERS)
        if len(value) > most:
            name = key.removeprefix("HTTP_").replace("_", "-").title()[:100]
            return _TOO_LARGE, f"The header {name} is longer than {most} characters."
    if environ.get("HTTP_COOKIE", "").count("\\") > MAX_COOKIE_BACKSLASHES:
        return _TOO_LARGE, f"The cookies have more than {MAX_COOKIE_BACKSLASHES} backslashes."
    return None


def without_base(path: str, base_path: str) -> str:
    """Return the path below the base path; a path that does not start with it is unchanged."""
    if base_path and path.startswith(f"{base_path}/"):
        return path[len(base_path) :]
    return path


def base_path_problem(base_path: str) -> str:
    """Return why XeeNet cannot live below this path, "" when it can."""
    if not base_path:
        return ""
    if not _BASE_PATH.fullmatch(base_path) or len(base_path) > _MAX_BASE_CHARACTERS:
        return "must look like /lab/xeenet: parts of letters, digits, '.', '_', '~' and '-'"
    parts = base_path.split("/")[1:]
    if not {".", ".."}.isdisjoint(parts):
        return "must have no part '.' or '..'"
    if parts[0] in _OWN_PATHS:
        return f"must not start with /{parts[0]}, which is a path of XeeNet itself"
    return ""


def _redirect(environ: Environ, start_response: StartResponse, path: str) -> Iterable[bytes]:
    """Send the browser to the base path with a slash: only below it does it send our cookies."""
    query = environ.get("QUERY_STRING", "")
    location = f"{path}?{query}" if query else path
    start_response("302 Found", [("Location", location), ("Content-Length", "0")])
    return []


def _refuse(
    environ: Environ, start_response: StartResponse, status: str, sentence: str
) -> Iterable[bytes]:
    request_id = uuid.uuid4().hex
    path = environ.get("PATH_INFO", "")[:MAX_PATH_CHARACTERS]
    number = int(status[:3])
    log.info(
        "request",
        request_id=request_id,
        method=str(environ.get("REQUEST_METHOD", ""))[:20],
        path=path,
        status=number,
        address=environ.get("REMOTE_ADDR", ""),
        reason=sentence,
    )
    kind, body = "text/plain", f"{sentence}\n"
    if API_PREFIX in path:
        kind = "application/json"
        body = json.dumps({"code": ErrorCode.INVALID.value, "message": sentence})
    headers = [
        ("Content-Type", f"{kind}; charset=utf-8"),
        ("Content-Length", str(len(body.encode()))),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'"),
        ("X-Request-ID", request_id),
    ]
    start_response(status, headers)
    return [body.encode()]
