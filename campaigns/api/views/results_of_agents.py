"""POST leases/results: the results of several leases, each answered as if it had come alone."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from django.db import OperationalError
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import lifecycle
from campaigns.answers.leases import submission_reply
from campaigns.api.errors import exception_handler
from campaigns.api.openapi import errors
from campaigns.api.throttling import CallerThrottle
from campaigns.api.views.leases import LeaseHolderView
from campaigns.clock import database_now
from campaigns.lifecycle.statements.submit import submit_each
from campaigns.serializers.agents import (
    ResultsReplySerializer,
    ResultsRequestSerializer,
    SubmissionSerializer,
)
from workers import lifecycle as worker_lifecycle
from workers.api.fields import StrictUUIDField
from workers.models import Worker
from workers.protocol import MAX_RESULTS_PER_REQUEST, Submission, Verdict

logger = logging.getLogger(__name__)

# A result that was not begun by then is answered with 503: its agent sends it again.
_PATIENCE_SECONDS: Final = 20.0


class ResultsOfAgentsView(LeaseHolderView):
    """Submit how several runs ended. Idempotent like the submission of each."""

    @extend_schema(
        operation_id="submit_results",
        tags=["agents"],
        request=ResultsRequestSerializer,
        # The 404 is for a person who has never asked for a task.
        responses={200: ResultsReplySerializer, **errors(400, 403, 404, 413, 429)},
        description=(
            "Submit how several runs ended, at most 64 and one MiB. Each result is taken or "
            "refused for itself, and is answered with the status and the words that it would have "
            "got alone. The list as a whole is refused when it is no such list, or names a lease "
            "twice. Agents may use it with a server that has the feature `result_lists`."
        ),
    )
    def post(self, request: Request) -> Response:
        items = _listed(request.data)
        for _ in items[1:]:  # the first has been counted
            throttle = CallerThrottle()
            if not throttle.allow_request(request, self):
                self.throttled(request, throttle.wait())
        answers = _Answers(request, self.worker)
        answers.submit({item.lease_id: item.body for item in items if item.body is not None})
        return Response({"results": [answers.of(item) for item in items]})


class _Item(NamedTuple):
    """One result of the list: its lease as sent, and its body, or what is wrong with it."""

    lease: str
    lease_id: uuid.UUID
    body: Submission | None
    problem: ValidationError | None = None


def _listed(data: Any) -> list[_Item]:
    """Return the results of the body, each checked for itself. Raises ValidationError."""
    results = data.get("results")
    if not isinstance(results, list) or not results:
        raise ValidationError({"results": ["Must be a list of at least one result."]})
    if len(results) > MAX_RESULTS_PER_REQUEST:
        raise ValidationError({"results": [f"Send at most {MAX_RESULTS_PER_REQUEST} at once."]})
    items = [_item(result) for result in results]
    if len({item.lease_id for item in items}) < len(items):
        raise ValidationError({"results": ["Name each lease once."]})
    return items


def _item(result: Any) -> _Item:
    named = result.get("lease_id") if isinstance(result, dict) else None
    lease = named[:100] if isinstance(named, str) else ""
    try:
        lease_id = StrictUUIDField().run_validation(lease)
    except ValidationError as error:
        return _Item(lease, uuid.uuid4(), None, ValidationError({"lease_id": error.detail}))
    serializer = SubmissionSerializer(data=result)
    if serializer.is_valid():
        return _Item(lease, lease_id, cast(Submission, serializer.validated_data))
    return _Item(lease, lease_id, None, ValidationError(serializer.errors))


class _Answers:
    """The answers to the results of one request, by lease."""

    def __init__(self, request: Request, worker: Worker) -> None:
        self._request = request
        self._worker = worker
        self._given: dict[uuid.UUID, dict[str, Any]] = {}
        self._give_up_at = time.monotonic() + _PATIENCE_SECONDS

    def of(self, item: _Item) -> dict[str, Any]:
        """Return the answer to an item of the list."""
        if item.problem is not None:
            return {"lease_id": item.lease, **self._refusal(item.problem)}
        return {"lease_id": item.lease, **self._given[item.lease_id]}

    def submit(self, bodies: Mapping[uuid.UUID, Submission]) -> None:
        """Take the usual results together, and the others one by one."""
        left = self._submit_together(bodies)
        for place, (lease_id, body) in enumerate(left.items()):
            if lease_id in self._given:
                continue
            verdict = self._submit_alone(lease_id, body)
            if place == 0 and verdict == Verdict.ACCEPTED:
                # With it came the class of the results of this worker, which the others waited for.
                later = {key: left[key] for key in left if key not in self._given}
                self._submit_together(later)

    def _submit_together(
        self, bodies: Mapping[uuid.UUID, Submission]
    ) -> dict[uuid.UUID, Submission]:
        """Submit those that are usual; return the others."""
        taken = submit_each(self._worker.token_hash, bodies) if bodies else {}
        for lease_id, submitted in taken.items():
            self._given[lease_id] = _reply(submitted.answer)
        return {lease_id: body for lease_id, body in bodies.items() if lease_id not in taken}

    def _submit_alone(self, lease_id: uuid.UUID, body: Submission) -> Verdict | None:
        if time.monotonic() > self._give_up_at:
            late = OperationalError("the results of a list before this one took too long")
            self._given[lease_id] = self._refusal(late)
            return None
        try:
            now = database_now()
            worker_lifecycle.see(self._worker, now=now)
            answer = lifecycle.submit(self._worker, lease_id, body, now=now)
        except Exception as error:  # noqa: BLE001 - each result is answered for itself
            self._given[lease_id] = self._refusal(error)
            return None
        self._given[lease_id] = _reply(answer)
        return answer.verdict

    def _refusal(self, error: Exception) -> dict[str, Any]:
        """Return the answer to a result that raised this error."""
        response = exception_handler(error, {"request": self._request})
        if response is None:
            logger.error("a result of a list was not stored", exc_info=error)
            message = "The server made a mistake; its log says which."
            return {"status": 500, "code": "server_error", "message": message}
        return {"status": response.status_code, **response.data}


def _reply(answer: lifecycle.Answer) -> dict[str, Any]:
    reply, status = submission_reply(answer)
    return {"status": status, **reply}
