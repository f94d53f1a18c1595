"""campaigns.charts.glyph: the interval of a value as an image and as a line of text."""

from __future__ import annotations

import re

import pytest

from campaigns.charts.glyph import HEIGHT, WIDTH, Interval, Scale, scale_of, svg, text

UNIT = Scale(0.0, 1.0, 1)


def numbers(markup: str, name: str) -> list[float]:
    """Return the numbers in the path or circle of this class."""
    element = re.search(rf'<(?:path|circle) class="{name}"[^>]*>', markup)
    assert element, name
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", element[0])]


def test_a_scale_holds_every_interval_as_a_whole() -> None:
    scale = scale_of([Interval(2.4, 0.1), Interval(2.5, 0.3), Interval(2.45)])
    assert scale is not None
    assert scale.low <= 2.2
    assert scale.high >= 2.8
    assert all(float(end) in (scale.low, scale.high) for end in scale.ends)


def test_far_values_do_not_press_the_others_into_a_point() -> None:
    near = [Interval(2.0 + n / 100) for n in range(10)]
    scale = scale_of([*near, Interval(9.0)])
    assert scale is not None
    assert scale.high < 2.2
    assert not scale.holds(9.0)
    assert scale.place(9.0) == 1.0
    assert 'class="beyond"' in svg(Interval(9.0), scale)


def test_where_more_is_better_the_high_values_are_inside() -> None:
    rows = [Interval(0.9 - n / 100) for n in range(10)]
    scale = scale_of([*rows, Interval(0.0)], is_maximised=True)
    assert scale is not None
    assert scale.holds(0.9)
    assert not scale.holds(0.0)


@pytest.mark.parametrize("value", [0.0, -3.0, 2.5, 1e12, 1e-9])
def test_a_single_value_has_a_scale_too(value: float) -> None:
    scale = scale_of([Interval(value)])
    assert scale is not None
    assert scale.low < scale.high
    assert scale.holds(value)
    assert svg(Interval(value), scale)


def test_no_value_has_no_scale_and_no_glyph() -> None:
    assert scale_of([]) is None
    assert scale_of([Interval(None)]) is None
    assert svg(Interval(None), UNIT) == ""
    assert text(Interval(None), UNIT, width=5) == "     "


def test_the_image_has_dot_whisker_screening_value_and_the_band_of_the_leader() -> None:
    markup = svg(Interval(0.5, 0.25, 0.1), UNIT, leader=Interval(0.2, 0.1))
    assert 'aria-hidden="true"' in markup
    assert numbers(markup, "dot")[0] == WIDTH / 2
    low, _, high = numbers(markup, "whisker")
    assert (low, high) == (43.0, 117.0)
    assert numbers(markup, "screening")[0] == 20.8
    assert numbers(markup, "band")[0] == 20.8
    assert numbers(markup, "band")[2] == 50.4


def test_nothing_leaves_the_image() -> None:
    scale = Scale(2.0, 3.0, 1)
    for interval in (Interval(-9.0, 50.0, 7.0), Interval(99.0, 1.0, -5.0), Interval(2.5, 1e9)):
        markup = svg(interval, scale, leader=Interval(0.0, 1e9))
        paths = re.findall(r'd="([^"]*)"', markup)
        for x in re.findall(r"[MH](-?[\d.]+)", " ".join(paths)):
            assert 0 <= float(x) <= WIDTH
    assert f'viewBox="0 0 {WIDTH} {HEIGHT}"' in markup


def test_a_value_without_an_interval_is_a_small_dot_alone() -> None:
    assert 'class="dot alone"' in svg(Interval(0.5), UNIT)
    assert "whisker" not in svg(Interval(0.5), UNIT)
    assert "band" not in svg(Interval(0.5), UNIT, leader=Interval(0.5))


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval(0.5), "     ●     "),
        (Interval(0.5, 0.3), "  ├──●──┤  "),
        (Interval(0.5, 0.3, 0.1), " ○├──●──┤  "),
        (Interval(0.0, 0.2), "●─┤        "),
        (Interval(7.0), "          ▸"),
        (Interval(-7.0), "◂          "),
    ],
)
def test_the_text_shows_the_same(interval: Interval, expected: str) -> None:
    assert text(interval, UNIT, width=11) == expected
