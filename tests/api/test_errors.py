"""Errors of the API: every error on every path is JSON with a code and a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.api.errors import exception_handler
from campaigns.api.views import campaigns
from campaigns.lifecycle import errors as lifecycle_errors
from tests.clients import agent_client, researcher_client
from workers import lifecycle as worker_lifecycle


@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/campaigns/",
        "/api/v1/campaigns/x",
        "/api/v2/campaigns",
        "/api/v1/leases/17/result",
        "/api/v1/%00",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options", "head"])
def test_an_unknown_path_is_not_found_in_json_for_every_method(path: str, method: str) -> None:
    answer = getattr(APIClient(), method)(path)

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/json"
    if method != "head":
        assert answer.json()["code"] == "not_found"
        assert answer.json()["message"].startswith("The API has nothing at /api/")


@pytest.mark.django_db
def test_a_method_that_a_path_does_not_know_is_not_allowed() -> None:
    answer = agent_client()[0].get("/api/v1/leases/claim")

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
def test_a_body_that_is_not_said_to_be_json_is_unsupported(content_type: str) -> None:
    client, _ = agent_client()

    answer = client.generic("POST", "/api/v1/leases/claim", b"{}", content_type=content_type)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_asks_to_come_again_and_keeps_its_secrets(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def away() -> Any:
        raise error('connection to server at "10.0.0.5", user "xeenet" failed')

    monkeypatch.setattr(campaigns, "campaigns_with_best", away)

    answer = APIClient().get("/api/v1/campaigns")

    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "10.0.0.5" not in answer.content.decode()


def test_a_bug_is_not_dressed_up_as_an_answer() -> None:
    for bug in (KeyError("x"), ProgrammingError("x"), ValueError("x")):
        assert exception_handler(bug, {}) is None


def test_every_refusal_of_the_verbs_has_an_answer_with_a_sentence() -> None:
    samples: dict[type[Exception], Exception] = {
        lifecycle_errors.WrongState: lifecycle_errors.WrongState("The campaign is paused."),
        worker_lifecycle.WrongWorkerState: worker_lifecycle.WrongWorkerState("It is disabled."),
    }
    kinds = {*_leaves(lifecycle.LifecycleError), *_leaves(worker_lifecycle.WorkerError)}
    assert len(kinds) >= 8

    for kind in kinds:
        if issubclass(kind, lifecycle_errors.InvalidCampaign):
            samples[kind] = kind({"name": ["is empty"]})
        answer = exception_handler(samples.get(kind) or kind(), {})

        assert answer is not None, f"{kind.__name__} would be a 500"
        assert 400 <= answer.status_code < 500
        assert answer.data["message"]


def _leaves(kind: type[Exception]) -> list[type[Exception]]:
    below = kind.__subclasses__()
    return [leaf for subclass in below for leaf in _leaves(subclass)] if below else [kind]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "permission_denied"),
        (RequestDataTooBig(), 413, "payload_too_large"),
        (SuspiciousOperation(), 400, "invalid"),
        (exceptions.ParseError(), 400, "invalid"),
        (exceptions.NotAuthenticated(), 401, "no_credentials"),
        (exceptions.AuthenticationFailed(), 401, "not_authenticated"),
        (exceptions.Throttled(), 429, "throttled"),
    ],
)
def test_what_the_frameworks_raise_has_the_same_shape(
    error: Exception, status: int, code: str
) -> None:
    answer = exception_handler(error, {})

    assert answer is not None
    assert (answer.status_code, answer.data["code"]) == (status, code)
    assert set(answer.data) == {"code", "message"}


def test_who_sends_too_much_is_told_when_to_come_again() -> None:
    answer = exception_handler(exceptions.Throttled(wait=17.2), {})

    assert answer is not None
    assert answer.headers["Retry-After"] == "18"


def test_errors_of_a_body_are_told_by_their_path() -> None:
    error = exceptions.ValidationError(
        {"leases": {0: {"lease_id": ["Is no UUID."]}}, "non_field_errors": ["Is too much."]}
    )

    answer = exception_handler(error, {})

    assert answer is not None
    assert answer.data == {
        "code": "invalid",
        "message": "leases.0.lease_id: Is no UUID.",
        "fields": {"leases.0.lease_id": ["Is no UUID."], "": ["Is too much."]},
    }


@pytest.mark.django_db
def test_a_body_beyond_the_limit_is_too_large() -> None:
    client, _ = researcher_client()

    answer = client.generic(
        "POST", "/api/v1/campaigns", b'{"a": "' + b"x" * 2**21 + b'"}', "application/json"
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
