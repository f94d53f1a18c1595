"""The small drawings of the side panel: a curve among others, and the seeds of an arm."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from campaigns.charts.curve_bundle import HEIGHT, SeedDot, curve_drawing, seeds_drawing
from experiments.metrics import VAL_BPB, Direction

Line = list[tuple[float, float]]


def falling(end: float, points: int = 30) -> Line:
    return [(float(n), end + 5.0 * 0.8**n) for n in range(1, points + 1)]


def places(path: str) -> list[tuple[int, int]]:
    """Return the points of a path that is drawn in relative steps."""
    numbers = [int(number) for number in re.findall(r"-?\d+", path)]
    x, y = numbers[:2]
    found = [(x, y)]
    for dx, dy in zip(numbers[2::2], numbers[3::2], strict=True):
        x, y = x + dx, y + dy
        found.append((x, y))
    return found


def own_path(drawing: str) -> list[tuple[int, int]]:
    match = re.search(r'class="curve" d="([^"]+)"', drawing)
    assert match is not None
    return places(match[1])


def test_a_curve_without_points_is_not_drawn() -> None:
    assert curve_drawing([], [falling(3.0)], VAL_BPB, label="x") == ""
    assert curve_drawing([[(1.0, 3.0)]], [falling(3.0)], VAL_BPB, label="x") == ""


def test_forty_curves_take_few_bytes() -> None:
    others = [falling(2.5 + n / 40) for n in range(40)]
    drawing = curve_drawing([falling(2.7)], others, VAL_BPB, label="x")
    assert drawing.count("M") >= 41
    assert len(drawing) < 12_000


def test_the_end_of_the_own_curve_is_always_inside() -> None:
    for end in (2.0, 2.7, 9.0):
        others = [falling(2.5 + n / 40) for n in range(40)]
        for x, y in own_path(curve_drawing([falling(end)], others, VAL_BPB, label="x"))[-1:]:
            assert 40 <= x <= 448
            assert 0 <= y <= HEIGHT - 18


def test_the_steep_beginning_does_not_flatten_the_end() -> None:
    others = [falling(2.5 + n / 40) for n in range(40)]
    drawing = curve_drawing([falling(2.5)], others, VAL_BPB, label="x")
    worst = places(
        re.findall(r"M[^M\"]+", re.findall(r'class="others" d="([^"]+)"', drawing)[0])[-1]
    )
    # The ends of the first and the last curve lie far apart.
    assert own_path(drawing)[-1][1] - worst[-1][1] > 40


def test_where_more_is_wanted_the_low_beginning_is_cut() -> None:
    spec = replace(VAL_BPB, direction=Direction.MAXIMIZE, high=100.0)
    rising = [(float(n), 10.0 - 9.0 * 0.7**n) for n in range(1, 31)]
    path = own_path(curve_drawing([rising], [rising], spec, label="x"))
    assert path[0][1] > HEIGHT
    assert path[-1][1] < HEIGHT / 2


def test_huge_and_equal_values_are_drawn_in_few_digits() -> None:
    drawing = curve_drawing(
        [[(1.0, 3.0), (2.0, 3.0)]], [[(1.0, 1e12), (2.0, -1e12)]], VAL_BPB, label="x"
    )
    assert max(map(len, re.findall(r"\d+", drawing))) <= 13
    flat = curve_drawing([[(0.0, 3.0), (0.0, 3.0)]], [], VAL_BPB, label="x")
    assert "nan" not in flat


def test_a_label_is_escaped() -> None:
    assert "<b>" not in curve_drawing([falling(3.0)], [], VAL_BPB, label="<b>")
    dots = [SeedDot(3.0, "<b>"), SeedDot(3.1, "b")]
    assert "<b>" not in seeds_drawing(dots, label="<b>")


@pytest.mark.parametrize("values", [[], [3.0]])
def test_fewer_than_two_seeds_are_not_drawn(values: list[float]) -> None:
    assert seeds_drawing([SeedDot(value, "") for value in values], label="x") == ""


def test_seeds_and_interval_stand_on_one_scale() -> None:
    dots = [SeedDot(3.0, "", is_screening=True), SeedDot(3.2, ""), SeedDot(3.4, "", is_own=True)]
    drawing = seeds_drawing(dots, middle=3.2, half_width=0.1, label="x")
    centres = [float(x) for x in re.findall(r'cx="([\d.]+)"', drawing)]
    assert centres == [10.0, 224.0, 438.0]
    band = re.search(r'class="interval" x="([\d.]+)" y="4" width="([\d.]+)"', drawing)
    assert band is not None
    assert float(band[1]) + float(band[2]) / 2 == pytest.approx(224.0, abs=0.2)
    assert 'class="seed first"' in drawing
    assert 'class="seed own"' in drawing
