"""Send requests that the OpenAPI document allows or forbids; check each answer against it.

Each case is sent as every caller. Each request runs in a transaction that is rolled back, so that
cases do not influence each other. Half of the cases name existing rows.
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
# With rate limits, most answers would be 429.
NO_LIMITS: Final = {
    "CLAIMS_PER_MINUTE": 0,
    "HEARTBEATS_PER_MINUTE": 0,
    "SUBMITS_PER_MINUTE": 0,
    "CALIBRATIONS_PER_MINUTE": 0,
    "ENROLMENTS_PER_MINUTE": 0,
    "ANONYMOUS_REQUESTS_PER_MINUTE": 0,
}


@dataclass
class Report:
    """Counts of requests and answers, and the failures."""

    operations: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    # One sentence for each kind of failure -> the first request that caused it.
    failures: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the summary, then each failure with a request that repeats it."""
        answers = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        summary = (
            f"{self.operations} operations, {sum(self.statuses.values())} requests ({answers})"
        )
        failures = [f"\n{kind}\n  {request}" for kind, request in sorted(self.failures.items())]
        return [summary, *failures, f"{len(failures)} failures"]


def fuzz(world: World, *, examples: int, seed: int, only: str = "") -> Report:
    """Send `examples` cases per operation whose path contains `only`, each as every caller.

    The same seed sends the same cases, apart from the primary keys of the rows.
    """
    document = SchemaGenerator().get_schema(request=None, public=True)
    schema = schemathesis.openapi.from_dict(_plain(document))
    schema.app = _closing(get_wsgi_application())
    report = Report()
    with _in_this_process(), override_settings(XEENET=settings.XEENET | NO_LIMITS):
        for parsed in schema.get_all_operations():
            operation = parsed.ok()
            if only in operation.path:
                report.operations += 1
                _fuzz_operation(operation, world, report, examples=examples, seed=seed)
    return report


@contextmanager
def _in_this_process() -> Iterator[None]:
    """Keep the database connection open between requests, for our transaction; disable logging."""
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
        # Collect failures instead of shrinking the first one, so that a run reports all of them.
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, names_rows=st.booleans())
    def send(case: Any, names_rows: bool) -> None:
        if names_rows:
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
            kind = f"{case.method} {case.operation.path}: {failure.title} ({answer.status_code})"
            explanation = " ".join(str(failure).split())[:400]
            request = case.as_curl_command(headers={"Authorization": f"<{caller}>"})[:600]
            report.failures.setdefault(kind, f"{explanation}\n  {request}")


def _known_parameters(path: str, world: World) -> dict[str, Any]:
    """Return path parameters that name existing rows."""
    names = re.findall(r"{(\w+)}", path)
    sha256 = world.campaign.dataset_id if "datasets" in path else world.campaign.package_id
    values = {
        "lease_id": str(world.attempt.lease_id),
        "sha256": sha256,
        "key": "failures",
        "id": world.number(path.lstrip("/")),
        "campaign": world.campaign.pk,
        "number": world.attempt.task.number,
        "race": 1,
    }
    return {name: values[name] for name in names}


def _closing(application: Any) -> Any:
    """Close each response, as a web server does; otherwise files that were sent stay open."""

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        body = application(environ, start_response)
        try:
            return [b"".join(body)]
        finally:
            body.close()

    return answer


def _plain(document: Any) -> Any:
    """Return the generator's ordered and lazy values as plain ones, as read from a JSON file."""
    if isinstance(document, dict):
        return {str(key): _plain(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_plain(value) for value in document]
    return document if isinstance(document, bool | int | float | None) else str(document)
