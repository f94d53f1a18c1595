"""Send what the document allows and what it does not; judge each answer by the document.

Each case is sent as everybody, each time in a transaction that is rolled back, so that no case
answers for the next. Half of the cases name rows that exist.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import schemathesis
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.test import override_settings
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given
from hypothesis import seed as with_seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.authorisation.world import World

HOST: Final = "http://testserver"
CALLERS: Final = ("nobody", "owner", "operator", "worker")
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# A limit would answer 429 to most of it.
NO_LIMITS: Final = {
    "CLAIMS_PER_MINUTE": 0,
    "HEARTBEATS_PER_MINUTE": 0,
    "SUBMITS_PER_MINUTE": 0,
    "ENROLMENTS_PER_MINUTE": 0,
    "ANONYMOUS_REQUESTS_PER_MINUTE": 0,
}


@dataclass
class Report:
    """What was sent and what came back."""

    operations: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    # One sentence for each kind of failure -> the first request that showed it.
    failures: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the summary, then each failure with a request that repeats it."""
        answers = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        summary = (
            f"{self.operations} operations, {sum(self.statuses.values())} requests ({answers})"
        )
        found = [f"\n{told}\n  {request}" for told, request in sorted(self.failures.items())]
        return [summary, *found, f"{len(found)} failures"]


def fuzz(world: World, *, examples: int, seed: int, only: str = "") -> Report:
    """Send `examples` cases per operation whose path holds `only`, each as every caller.

    The same seed sends the same cases, but for what the rows' own numbers change.
    """
    document = SchemaGenerator().get_schema(request=None, public=True)
    schema = schemathesis.openapi.from_dict(_plain(document))
    schema.app = _closing(get_wsgi_application())
    report = Report()
    with _in_this_process(), override_settings(XEENET=settings.XEENET | NO_LIMITS):
        for found in schema.get_all_operations():
            operation = found.ok()
            if only in operation.path:
                report.operations += 1
                _fuzz_operation(operation, world, report, examples=examples, seed=seed)
    return report


@contextmanager
def _in_this_process() -> Iterator[None]:
    """Keep the connection, whose transaction is not the request's own; leave out the log."""
    around_a_request = (request_started, request_finished)
    for signal in around_a_request:
        signal.disconnect(close_old_connections)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for signal in around_a_request:
            signal.connect(close_old_connections)


def _fuzz_operation(
    operation: Any, world: World, report: Report, *, examples: int, seed: int
) -> None:
    modes = [schemathesis.GenerationMode.POSITIVE]
    if operation.body or operation.query:
        modes.append(schemathesis.GenerationMode.NEGATIVE)
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])
    known = _known_parameters(operation.path, world)

    @with_seed(seed)
    @hypothesis_settings(
        max_examples=examples,
        # The failures are collected, not shrunk: one run tells them all.
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, named=st.booleans())
    def send(case: Any, named: bool) -> None:
        if named:
            case.path_parameters = {**case.path_parameters, **known}
        for caller in CALLERS:
            _send(case, caller, world, report)

    send()


def _send(case: Any, caller: str, world: World, report: Report) -> None:
    token = world.over_the_api[caller]._credentials
    headers = {"Authorization": token["HTTP_AUTHORIZATION"]} if token else {}
    with transaction.atomic():
        answer = case.call(base_url=HOST, headers=headers)
        transaction.set_rollback(True)
    report.statuses[answer.status_code] += 1
    try:
        case.validate_response(answer, checks=CHECKS, headers=headers)
    except FailureGroup as group:
        for failure in group.exceptions:
            what = f"{case.method} {case.operation.path}: {failure.title} ({answer.status_code})"
            said = " ".join(str(failure).split())[:400]
            request = case.as_curl_command(headers={"Authorization": f"<{caller}>"})[:600]
            report.failures.setdefault(what, f"{said}\n  {request}")


def _known_parameters(path: str, world: World) -> dict[str, Any]:
    """What stands for the parameters of a path when a case names rows that exist."""
    names = re.findall(r"{(\w+)}", path)
    sha256 = world.campaign.dataset_id if "datasets" in path else world.campaign.package_id
    values = {
        "lease_id": str(world.attempt.lease_id),
        "sha256": sha256,
        "key": "failures",
        "id": world.number(path.lstrip("/")),
    }
    return {name: values[name] for name in names}


def _closing(application: Any) -> Any:
    """Close each answer, as a web server does: files that are sent stay open otherwise."""

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        body = application(environ, start_response)
        try:
            return [b"".join(body)]
        finally:
            body.close()

    return answer


def _plain(document: Any) -> Any:
    """The generator's ordered and lazy values as the plain ones that a JSON file would give."""
    if isinstance(document, dict):
        return {str(key): _plain(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_plain(value) for value in document]
    return document if isinstance(document, bool | int | float | None) else str(document)
