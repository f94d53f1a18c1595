"""Valid and invalid requests made from the OpenAPI document, sent by every kind of caller.

See ``tests/fuzz``.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.authorisation.world import make_world

SEED = 20_261_122
EXAMPLES = 3


@pytest.mark.long
@pytest.mark.once  # parser and serializers refuse before any query runs
@pytest.mark.timeout(300)
@pytest.mark.django_db
def test_every_answer_is_one_that_the_document_tells_of(settings: Any, tmp_path: Any) -> None:
    # Imported here, because importing Schemathesis would slow every start of the tests by 1 s.
    from tests.fuzz.run import CALLERS, fuzz

    settings.MEDIA_ROOT = tmp_path
    print(f"seed {SEED}")  # pytest shows captured output beside a failure

    report = fuzz(make_world(), examples=EXAMPLES, seed=SEED)

    assert not report.failures, "\n".join(report.lines())
    assert report.operations > 70
    # Enough requests got past authentication and validation.
    assert report.statuses[200] > 50
    assert sum(report.statuses.values()) > report.operations * len(CALLERS)
