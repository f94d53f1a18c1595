"""campaigns.standings.usual_params: which params of an arm are unlike the others'."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.standings.usual_params import unlike_usual, usual_params
from tests import factories

ARMS: list[dict[str, Any]] = [
    {"lr": lr, "width": width, "kind": kind, "bias": bias}
    for lr, width, kind, bias in (
        (0.001, 64, "a", True),
        (0.002, 128, "b", True),
        (0.003, 128, "b", True),
        (0.004, 256, "c", False),
        (0.05, 256, "b", True),
    )
]


@pytest.mark.parametrize(
    ("name", "usual", "unlike"),
    [
        # The middle half of fractions, the median of whole numbers, the commonest word.
        ("lr", 0.0025, 0.05),
        ("lr", 0.004, 0.001),
        ("width", 128, 256),
        ("kind", "b", "c"),
        ("bias", True, False),
        ("kind", "b", None),
    ],
    ids=str,
)
def test_params_are_usual_or_not(name: str, usual: Any, unlike: Any) -> None:
    found = usual_params(ARMS)[name]
    assert found.has(usual)
    assert not found.has(unlike)


def test_of_equally_common_words_all_are_usual() -> None:
    found = usual_params([{"kind": "a"}, {"kind": "b"}])["kind"]
    assert found.has("a")
    assert found.has("b")


def test_a_parameter_with_one_value_or_a_list_is_read_too() -> None:
    found = usual_params([{"lr": 0.1, "betas": [1, 2]}])
    assert found["lr"].has(0.1)
    assert not found["betas"].has("x")


@pytest.mark.django_db
def test_an_arm_is_compared_with_those_of_its_campaign() -> None:
    campaign = factories.active_campaign(9)
    params = campaign.arms.order_by("number")[0].params
    assert unlike_usual(campaign, {"lr": 1.0, "d_model": params["d_model"]}) >= {"lr"}
    assert unlike_usual(campaign, {"unknown": 3}) == set()
