"""campaigns.race.param_words: what the titles of effects and importance may name."""

from __future__ import annotations

import pytest

from campaigns.analysis.importance import ParameterImportance
from campaigns.race.param_words import effects_title, importance_title


def share(name: str, low: float, high: float, chance: float = 0.2) -> ParameterImportance:
    return ParameterImportance(name, (low + high) / 2, low, high, chance)


LR, WIDTH, DEPTH = share("lr", 0.6, 0.8), share("width", 0.2, 0.4), share("depth", 0.0, 0.1)


@pytest.mark.parametrize(
    ("named", "by_chance", "expected"),
    [
        ((), None, "Effect of each parameter: too few results to say how much each accounts for"),
        ((), 0.2, "No parameter accounts for more of the spread of val_bpb than shuffled values"),
        ((("lr", 0.4),), 0.25, "lr alone accounts for 40% of the spread of val_bpb; shuffled"),
        ((("lr", 0.4), ("width", 0.3)), 0.25, "lr (40%) and width (30%) each account for more"),
    ],
)
def test_effects(named: tuple, by_chance: float | None, expected: str) -> None:
    assert effects_title(named, by_chance, metric="val_bpb").startswith(expected)


@pytest.mark.parametrize(
    ("shares", "named", "expected"),
    [
        ([LR, WIDTH, DEPTH], set(), "No parameter stands out from chance yet"),
        ([LR, WIDTH, DEPTH], {"lr", "width"}, "lr matters most for a low val_bpb: 70%"),
        ([LR, share("width", 0.5, 0.7)], {"lr", "width"}, "lr and width matter for a low val_bpb"),
        # The estimate is above its own chance, but what the effects say does not bear it out.
        ([LR, WIDTH, DEPTH], {"width"}, "width matters for a low val_bpb"),
        (
            [DEPTH],
            {"depth"},
            "depth accounts for more of the spread than chance, but nothing",
        ),
    ],
)
def test_importance(shares: list[ParameterImportance], named: set[str], expected: str) -> None:
    title = importance_title(shares, named, good="a low val_bpb", top="best 10%")
    assert title.startswith(expected)
