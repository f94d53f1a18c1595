"""campaigns.standings.param_order: which params come first, and how they look."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.models import ImportanceEstimate
from campaigns.standings.param_order import by_importance, tint, tints
from tests import factories

pytestmark = pytest.mark.django_db


def test_the_params_follow_a_stored_estimate_and_nothing_computes_one() -> None:
    campaign = factories.active_campaign(1)
    names = ["lr", "d_model"]
    assert by_importance(campaign, names) == names
    assert not ImportanceEstimate.objects.exists()
    row = ImportanceEstimate.objects.create(campaign=campaign, device="")
    assert by_importance(campaign, names) == names
    shares = [{"name": "d_model", "share": 0.7}, {"name": "lr", "share": 0.3}]
    row.found = {"importance": {"parameters": shares}, "total": 30}
    row.save()
    assert by_importance(campaign, [*names, "new"]) == ["d_model", "lr", "new"]


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ({"type": "float", "low": 0.0, "high": 1.0}, 0.0, 0),
        ({"type": "float", "low": 0.0, "high": 1.0}, 0.52, 5),
        ({"type": "float", "low": 1e-4, "high": 1.0, "log": True}, 1e-2, 5),
        ({"type": "float", "low": 0.0, "high": 1.0}, 7.0, None),
        ({"type": "int", "low": 3, "high": 3}, 3, None),
        ({"type": "choice", "values": [64, 512, 128]}, 512, 10),
        ({"type": "choice", "values": [64, 512, 128]}, 128, 5),
        ({"type": "choice", "values": ["cosine", "linear"]}, "cosine", None),
        ({"type": "choice", "values": [True, False]}, True, None),
        ({"type": "choice", "values": [4]}, 4, None),
    ],
)
def test_a_number_is_tinted_by_its_place_in_its_range(
    parameter: dict[str, Any], value: Any, expected: int | None
) -> None:
    assert tint(value, tints(parameter)) == expected
