"""The one place where an exception becomes an HTTP answer.

Every error of the API has the shape ``{"code": ErrorCode, "message": sentence}``; an invalid body
adds ``"fields": {path: [sentences]}``. An exception that is not listed here is a bug and stays a
500.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any, Final

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from django.http import Http404
from django.http.request import UnreadablePostError
from rest_framework import exceptions, permissions, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.answers.refusals import refusal_text, sentences
from campaigns.api import unwritable
from campaigns.api.parsers import PayloadTooLarge
from campaigns.api.unwritable import sqlstate, write_problem
from campaigns.lifecycle.errors import (
    InvalidCampaign,
    LeaseLost,
    LeaseUnknown,
    ResultConflict,
    WrongState,
)
from workers.authentication import NoTokenArrived
from workers.fleets import FleetFull, FleetTokenRevoked
from workers.lifecycle import (
    EnrolmentRefused,
    InvitationUsed,
    NotHere,
    WorkerNameRefused,
    WrongWorkerState,
)
from workers.models import Worker
from workers.protocol import ErrorCode
from workers.takeover import WorkerInUse

logger = logging.getLogger(__name__)

# A restarting database is back within seconds. The spread keeps clients from retrying all at once.
RETRY_AFTER_SECONDS: Final = 2
RETRY_AFTER_SPREAD_SECONDS: Final = 3
# A read-only or full database needs a person, or a failover.
RETRY_AFTER_UNWRITABLE_SECONDS: Final = 10
RETRY_AFTER_UNWRITABLE_SPREAD_SECONDS: Final = 11
# SQLSTATE codes of the limits that PostgreSQL enforces (see xeenet_site.databases).
_CONTENDED: Final = frozenset({"40001", "40P01", "55P03"})
_TOO_SLOW: Final = frozenset({"57014"})
_IDLE_IN_TRANSACTION: Final = frozenset({"25P03"})

_KINDS: Final = (
    "people sign in or send a personal token (xp_…), agents a worker token (xw_…), schedulers a "
    "fleet's token (xf_…)"
)
# Two answers, so that an agent can tell a proxy that drops headers from a token that was revoked.
_NO_CREDENTIALS: Final = (
    f"No credentials arrived with this request: {_KINDS}. If you did send a token, a proxy on the "
    "way drops the Authorization header."
)
_WRONG_KIND: Final = f"This token does not open this address: {_KINDS}."

# The first row whose class matches by isinstance decides, so subclasses stand before their bases.
_ANSWERS: Final[tuple[tuple[type[Exception], int, ErrorCode], ...]] = (
    (InvalidCampaign, 400, ErrorCode.INVALID),
    (WorkerNameRefused, 400, ErrorCode.INVALID),
    (EnrolmentRefused, 403, ErrorCode.ENROLMENT_REFUSED),
    (LeaseUnknown, 404, ErrorCode.NOT_FOUND),
    (LeaseLost, 409, ErrorCode.LEASE_LOST),
    (WrongState, 409, ErrorCode.WRONG_STATE),
    (WrongWorkerState, 409, ErrorCode.WRONG_STATE),
    (NotHere, 409, ErrorCode.WRONG_STATE),
    (InvitationUsed, 409, ErrorCode.WRONG_STATE),
    (FleetTokenRevoked, 409, ErrorCode.WRONG_STATE),
    (FleetFull, 409, ErrorCode.FLEET_FULL),
    (WorkerInUse, 409, ErrorCode.WORKER_IN_USE),
    (ResultConflict, 409, ErrorCode.RESULT_CONFLICT),
    (OperationalError, 503, ErrorCode.DATABASE_UNAVAILABLE),
    (InterfaceError, 503, ErrorCode.DATABASE_UNAVAILABLE),
    (IntegrityError, 409, ErrorCode.WRONG_STATE),
    (DataError, 400, ErrorCode.INVALID),
    (PayloadTooLarge, 413, ErrorCode.PAYLOAD_TOO_LARGE),
    (exceptions.UnsupportedMediaType, 415, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
    (exceptions.MethodNotAllowed, 405, ErrorCode.METHOD_NOT_ALLOWED),
    (NoTokenArrived, 401, ErrorCode.NO_CREDENTIALS),
    (exceptions.NotAuthenticated, 401, ErrorCode.NO_CREDENTIALS),
    (exceptions.AuthenticationFailed, 401, ErrorCode.NOT_AUTHENTICATED),
    (exceptions.PermissionDenied, 403, ErrorCode.PERMISSION_DENIED),
    (exceptions.NotFound, 404, ErrorCode.NOT_FOUND),
    (exceptions.Throttled, 429, ErrorCode.THROTTLED),
    # All that is left: ParseError and ValidationError.
    (exceptions.APIException, 400, ErrorCode.INVALID),
)


class UnknownPathView(APIView):
    """Answer unknown paths under the API, so that clients get JSON there too."""

    authentication_classes = ()
    permission_classes = (permissions.AllowAny,)
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise exceptions.NotFound(f"The API has nothing at {request.path[:200]}.")


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer for `error`, or None for a bug, which Django answers with a 500."""
    error = _as_api_exception(error)
    if isinstance(error, DatabaseError | InterfaceError):
        log_database_error(error)
        if isinstance(error, IntegrityError) and _is_agent(context):
            # Agents give up on 409 and drop their result. A lost race is temporary, so answer 503
            # and let them retry.
            error = OperationalError("Somebody else was quicker.")
    for kind, http_status, code in _ANSWERS:
        if isinstance(error, kind):
            # The plain value: errors of the OpenAPI document's own view are rendered as YAML, which
            # cannot write enumerations.
            body: dict[str, Any] = {"code": code.value, "message": error_text(error)}
            if isinstance(error, exceptions.NotAuthenticated) and _has_credentials(context):
                body = {"code": ErrorCode.NOT_AUTHENTICATED.value, "message": _WRONG_KIND}
            if http_status == status.HTTP_400_BAD_REQUEST and (fields := _fields(error)):
                body["fields"] = fields
            return Response(body, status=http_status, headers=_headers(error, http_status))
    return None


def _as_api_exception(error: Exception) -> Exception:
    """Replace an exception of Django by REST framework's exception with the same meaning."""
    if isinstance(error, Http404):
        return exceptions.NotFound("There is nothing here; check the address.")
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied(str(error) or None)
    if isinstance(error, RequestDataTooBig):
        return PayloadTooLarge()
    if isinstance(error, SuspiciousOperation | UnreadablePostError):
        return exceptions.ParseError("The request could not be read.")
    if isinstance(error, InternalError) and (
        sqlstate(error) in _IDLE_IN_TRANSACTION or write_problem(error)
    ):
        return OperationalError(str(error))
    return error


def _is_agent(context: dict[str, Any]) -> bool:
    return isinstance(getattr(context.get("request"), "auth", None), Worker)


def _has_credentials(context: dict[str, Any]) -> bool:
    """Return whether the request carried a token, of whatever kind."""
    headers = getattr(context.get("request"), "headers", {})
    return bool(headers.get("Authorization", "").strip())


def log_database_error(error: Exception) -> None:
    """Log the database's own message.

    The answer hides that message, because it names hosts, users and values.
    """
    text = str(error).strip().partition("\n")[0]
    unwritable.remember(error)
    if isinstance(error, OperationalError | InterfaceError):
        # While the database is down every request comes here: log one line each, no traceback.
        logger.error("database: %s %s: %s", type(error).__name__, sqlstate(error), text)
    else:
        logger.error("database: %s", text, exc_info=error)


def database_message(error: Exception) -> str:
    """Return a sentence for people: what a database error means for their request."""
    state = sqlstate(error)
    if isinstance(error, IntegrityError):
        return "Somebody changed the same thing at the same moment; look at it and try again."
    if isinstance(error, DataError):
        return "A value does not fit into the database."
    if state in _CONTENDED or "database is locked" in str(error):
        return "Others are changing the same thing; try again in a moment."
    if state in _TOO_SLOW:
        return "This took the database too long and was stopped; ask for less, or try again later."
    if problem := write_problem(error):
        return (
            f"The database {problem}: nothing can be stored. Try again later; an administrator "
            "has to mend it."
        )
    # Never answer with the driver's own message: it names hosts and users.
    return "The database is not available; try again in a moment."


def retry_after(error: Exception) -> int:
    """Return after how many seconds a client may retry after a database error; randomised."""
    if write_problem(error):
        return RETRY_AFTER_UNWRITABLE_SECONDS + secrets.randbelow(
            RETRY_AFTER_UNWRITABLE_SPREAD_SECONDS
        )
    return RETRY_AFTER_SECONDS + secrets.randbelow(RETRY_AFTER_SPREAD_SECONDS)


def error_text(error: Exception) -> str:
    """Return one sentence for people about any error that `exception_handler` answers."""
    if isinstance(error, DatabaseError | InterfaceError):
        return database_message(error)
    if isinstance(error, exceptions.Throttled):
        wait = int(getattr(error, "wait", None) or RETRY_AFTER_SECONDS)
        return f"You ask too often; the next such request is answered in {wait} s."
    if isinstance(error, exceptions.NotAuthenticated):
        return _NO_CREDENTIALS
    if isinstance(error, exceptions.APIException):
        return refusal_text(error)
    return str(error) or type(error).__name__


def _fields(error: Exception) -> dict[str, list[str]]:
    if isinstance(error, InvalidCampaign):
        return error.errors
    if isinstance(error, WorkerNameRefused):
        return {"name": [error_text(error)]}
    fields: dict[str, list[str]] = {}
    if isinstance(error, exceptions.ValidationError):
        for path, sentence in sentences(error.detail):
            fields.setdefault(path, []).append(sentence)
    return fields


def _headers(error: Exception, http_status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if http_status == status.HTTP_503_SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(retry_after(error))
    elif isinstance(error, FleetFull):
        headers["Retry-After"] = str(error.retry_after)
    elif http_status == status.HTTP_429_TOO_MANY_REQUESTS:
        headers["Retry-After"] = str(int(getattr(error, "wait", None) or RETRY_AFTER_SECONDS))
    return headers
