"""campaigns.charts.hero_curve: a learning curve of a few pixels."""

from __future__ import annotations

import re

from campaigns.charts.hero_curve import HEIGHT, WIDTH, small_curve
from campaigns.models import ProgressPoint


def curve(*values: float | None, loss: float | None = None) -> list[ProgressPoint]:
    return [
        ProgressPoint(elapsed_seconds=second, value=value, train_loss=loss)
        for second, value in enumerate(values)
    ]


def dots(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_a_curve_falls_from_the_upper_left_to_the_lower_right() -> None:
    drawn = small_curve(curve(4.0, 3.0, 2.5, 2.4))
    assert drawn
    assert drawn.what == "validation"
    assert dots(drawn.path)[0] == (2.0, 2.0)
    assert dots(drawn.path)[-1] == (WIDTH - 2.0, HEIGHT - 2.0)


def test_a_huge_first_value_does_not_press_the_rest_into_a_line() -> None:
    drawn = small_curve(curve(1e6, 3.0, 2.5, 2.4, 2.3))
    assert drawn
    heights = [y for _, y in dots(drawn.path)]
    assert heights[0] == 2.0
    assert heights[-1] - heights[1] > HEIGHT / 3


def test_without_values_the_training_loss_is_drawn_and_of_one_point_nothing() -> None:
    drawn = small_curve(curve(None, None, loss=2.0))
    assert drawn
    assert drawn.what == "training loss"
    assert small_curve(curve(3.0)) is None
    assert small_curve([]) is None
