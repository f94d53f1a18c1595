"""What the OpenAPI document allows, and what it does not, sent as everybody: see tests/fuzz."""

from __future__ import annotations

from typing import Any

import pytest

from tests.authorisation.world import make_world

SEED = 20_261_122
EXAMPLES = 3


@pytest.mark.long
@pytest.mark.once  # the parser and the serializers refuse before a database is asked
@pytest.mark.timeout(300)
@pytest.mark.django_db
def test_every_answer_is_one_that_the_document_tells_of(settings: Any, tmp_path: Any) -> None:
    # Not at the top: Schemathesis costs each start of the tests a second.
    from tests.fuzz.run import CALLERS, fuzz

    settings.MEDIA_ROOT = tmp_path
    print(f"seed {SEED}")  # pytest shows it beside a failure

    report = fuzz(make_world(), examples=EXAMPLES, seed=SEED)

    assert not report.failures, "\n".join(report.lines())
    assert report.operations > 70
    # It came further than to refusals.
    assert report.statuses[200] > 50
    assert sum(report.statuses.values()) > report.operations * len(CALLERS)
