"""campaigns.search.editor: a space as rows of a form and back; mistakes stay as they were typed."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from campaigns.search.editor import (
    ParameterRow,
    SpaceEditor,
    parse_number,
    parse_values,
    values_text,
)
from campaigns.search.space import SearchSpace
from campaigns.search.space_json import InvalidSearchSpace
from experiments import catalog

CHAR_LM = catalog.get("train_char_lm").default_search_space
ALL_KINDS = {
    "parameters": [
        {"name": "lr", "type": "float", "low": 1e-5, "high": 0.5, "log": True, "decimals": 5},
        {"name": "layers", "type": "int", "low": 2, "high": 8, "step": 2},
        {"name": "width", "type": "int", "low": 16, "high": 512, "log": True},
        {"name": "act", "type": "choice", "values": ["relu", "a, b", "1", "true", 1, True, 0.5]},
    ],
    "constraints": ["width % layers == 0", "lr < 0.4"],
}

storable = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-(2.0**53), 2.0**53)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)


def posted(editor: SpaceEditor) -> QueryDict:
    """The form that a browser would send for these rows."""
    data = QueryDict(mutable=True)
    for row in editor.parameters:
        data.appendlist("parameter", str(row.key))
        for name in ("name", "type", "was", "low", "high", "scale", "decimals", "step", "values"):
            data[f"p{row.key}-{name}"] = getattr(row, name)
    for constraint in editor.constraints:
        data.appendlist("constraint", str(constraint.key))
        data[f"c{constraint.key}-text"] = constraint.text
    return data


@pytest.mark.parametrize("space", [CHAR_LM, ALL_KINDS])
def test_a_space_comes_back_from_its_rows_and_from_their_form(space: dict[str, Any]) -> None:
    editor = SpaceEditor.from_space(space)
    assert editor.to_json() == space
    assert SpaceEditor.from_post(posted(editor)).to_json() == space


@given(st.lists(storable, max_size=6))
def test_every_choice_can_be_written_in_one_line_and_read_back(values: list[Any]) -> None:
    read = parse_values(values_text(values))
    assert [(type(value), value) for value in read] == [(type(value), value) for value in values]


@given(st.text(max_size=40))
def test_whatever_is_typed_as_values_can_be_read(text: str) -> None:
    assert all(isinstance(value, bool | int | float | str) for value in parse_values(text))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("64, 128,256", [64, 128, 256]),
        (" cosine , step_decay,", ["cosine", "step_decay"]),
        ('"a, b", "64", a"b', ["a, b", "64", 'a"b']),
        ("1e-3, true, null, NaN, [1]", [0.001, True, "null", "NaN", "[1]"]),
        ("", []),
    ],
)
def test_values_are_typed_like_a_list_without_brackets(text: str, values: list[Any]) -> None:
    assert parse_values(text) == values


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), ("1e-4", 0.0001), ("-0.5", -0.5), ("two", "two"), ("", None)]
)
def test_a_number_is_read_as_such_and_else_left_as_it_is(text: str, number: object) -> None:
    assert parse_number(text) == number


def names(editor: SpaceEditor) -> list[str]:
    return [row.name for row in editor.parameters]


def test_rows_are_added_removed_and_moved_and_keep_their_keys() -> None:
    editor = SpaceEditor.from_space(ALL_KINDS)
    editor.apply("up", 1)
    assert names(editor) == ["layers", "lr", "width", "act"]
    editor.apply("up", 1)
    editor.apply("down", 3)
    editor.apply("down", 99)
    editor.apply("explode", 0)
    assert names(editor) == ["layers", "lr", "width", "act"]
    editor.apply("remove-parameter", 2)
    editor.apply("add-parameter", 0)
    assert [(row.key, row.name) for row in editor.parameters] == [
        (1, "layers"),
        (0, "lr"),
        (3, "act"),
        (4, ""),
    ]
    editor.apply("remove-constraint", 0)
    editor.apply("add-constraint", 0)
    assert [(row.key, row.text) for row in editor.constraints] == [(1, "lr < 0.4"), (2, "")]


def test_another_type_takes_over_what_it_can_use() -> None:
    editor = SpaceEditor.from_space(ALL_KINDS)
    lr, layers, _, act = editor.parameters
    lr.type, layers.type, act.type = "choice", "float", "int"
    lr, layers, _, act = SpaceEditor.from_post(posted(editor)).parameters
    assert lr.values == "1e-05, 0.5"
    assert (layers.low, layers.high) == ("2", "8")
    assert (act.low, act.high) == ("0.5", "1")


def test_errors_stand_at_the_rows_they_speak_of() -> None:
    editor = SpaceEditor.from_space(ALL_KINDS)
    lr, layers, width, act = editor.parameters
    lr.low, layers.name, width.high, act.name = "", "no name", "wide", "width"
    editor.constraints[0].text = ""
    editor.constraints[1].text = "lr <"
    with pytest.raises(InvalidSearchSpace) as info:
        SearchSpace.parse(editor.to_json())
    editor.place_errors(info.value.errors)
    assert lr.sentences == ["low must be a finite number"]
    assert layers.sentences == ["name must be letters, digits and _, at most 64"]
    assert width.sentences == ["high must be a whole number"]
    assert editor.constraints[0].sentences == []
    assert editor.constraints[1].sentences == ["cannot be read: 'lr <'"]


def test_an_error_of_no_row_stands_at_the_space() -> None:
    editor = SpaceEditor()
    editor.place_errors({"parameters": ["must be a list"], "": ["is odd"]})
    assert editor.errors == ["parameters must be a list.", "The search space is odd."]


def test_a_form_with_broken_rows_is_read_as_far_as_it_goes() -> None:
    data = QueryDict("parameter=x&parameter=1&parameter=1&parameter=-4&p1-type=text&constraint=٣")
    editor = SpaceEditor.from_post(data)
    assert [(row.key, row.type, row.scale) for row in editor.parameters] == [(1, "float", "linear")]
    assert editor.constraints == []


def test_a_number_too_long_to_read_is_refused_and_never_drawn_as_a_text() -> None:
    row = ParameterRow(0, name="x", type="choice", values="1, " + "9" * 5000)
    with pytest.raises(InvalidSearchSpace, match="numbers within"):
        SearchSpace.parse({"parameters": [row.to_json()]})
