"""JSON and YAML 1.2 with lines: values, keys given twice, words of YAML 1.1, bounded building."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from campaigns.search.json_text import read_json
from campaigns.search.lined import UnreadableSpace, line_of
from campaigns.search.yaml_text import MAX_BUILT, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("0x1F", 31),
        ("1e-4", 1e-4),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ('"1e-4"', "1e-4"),
        ("'yes'", "yes"),
        ("!!str 5", "5"),
        ("! true", "true"),
        ("y", "y"),
        ("cosine", "cosine"),
        ("1.2.3", "1.2.3"),
        ("a: b\nc: [1, d]", {"a": "b", "c": [1, "d"]}),
        ("on: 1\n2: x\nnull: y", {"on": 1, "2": "x", "null": "y"}),
        (
            "a: &n {x: 1, y: 2}\nb: *n\nc: {<<: *n, y: 3}",
            {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}},
        ),
    ],
)
def test_yaml_is_read_as_its_version_1_2_says(text: str, value: Any) -> None:
    read = read_yaml(text)
    assert (read, type(read) is bool) == (value, type(value) is bool)


@pytest.mark.parametrize(
    "word",
    [
        *("yes", "No", "ON", "off"),
        *("010", "08", "0o17", "0b11", "1_000", "0x_f", "-0x1f"),
        *("1:30", "190:20:30.15", "2024-01-01", "2001-12-14t21:59:43.10-05:00", "="),
    ],
)
def test_what_the_versions_of_yaml_read_differently_is_refused_with_its_line(word: str) -> None:
    with pytest.raises(UnreadableSpace, match=r"^Line 3: .*in quotes") as refused:
        read_yaml(f"a:\n- 1\n- {word}")
    assert word in str(refused.value)


@pytest.mark.parametrize(("word", "meaning"), [("Yes", "true"), ("on", "true"), ("OFF", "false")])
def test_a_word_of_yaml_1_1_is_refused_with_what_it_may_mean(word: str, meaning: str) -> None:
    with pytest.raises(UnreadableSpace) as refused:
        read_yaml(f"a: {word}")
    assert f"{word} is {meaning} in YAML 1.1 and a text in YAML 1.2; write {meaning}, or" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("read", "text", "sentence"),
    [
        (read_yaml, "a: 1\nb: 2\na: 3", "Line 3: the key 'a' is given twice, first in line 1"),
        (read_yaml, "{x: {a: 1, 'a': 2}}", "Line 1: the key 'a' is given twice"),
        (read_json, '{"a": 1,\n "b": {"c": 1,\n "c": 2}}', "Line 3: the key 'c' is given twice"),
        (read_json, '[1,\n {"a": NaN}]', "Line 2: NaN is no number"),
        (read_json, "[\n-Infinity]", "Line 2: -Infinity is no number"),
        (read_json, "[\n1e999]", "Line 2: the number 1e999 is larger than any float"),
        (read_json, '{"a":\n' + "9" * 5000 + "}", "Line 2: a whole number has more than 30 digits"),
        (read_json, "[0." + "1" * 90_000 + "]", "Line 1: a number has more than 64 characters"),
        (read_json, '["\\ud800"]', "half of a surrogate pair"),
        (read_json, "[" * 50_000, "Line 1: this JSON is nested too deeply"),
        (read_json, '{"a": [1, ]}', "this is not JSON"),
        (read_json, "[" + "1," * 50_000 + "1]", "longer than 100,000 characters"),
        (read_yaml, "- 1\n" * 25_001, "longer than 100,000 characters"),
        (read_yaml, "a: 0x" + "f" * 9_000, "Line 1: a whole number has more than 30 digits"),
        (read_yaml, "a: " + "9" * 9_000, "Line 1: a whole number has more than 30 digits"),
        (read_yaml, "a: 1e999", "Line 1: the number 1e999 is larger than any float"),
        (read_yaml, "a: 0." + "1" * 90_000, "Line 1: a number has more than 64 characters"),
        (read_yaml, "- " * 20_000, "Line 1: this YAML is nested too deeply"),
        (read_yaml, "a: 1\n? [b]\n: 2", "Line 2: a key must be a word"),
        (read_yaml, "a: &a [*a]", "Line 1: *a stands for nothing"),
        (read_yaml, "a: *b", "Line 1: *b stands for nothing"),
        (read_yaml, "a: {<<: 3}", "Line 1: << must merge a mapping"),
        (read_yaml, "a: {<<: [{b: 1}, 3]}", "Line 1: << must merge a mapping"),
        (read_yaml, "a: !!set {b}", "Line 1: the tag tag:yaml.org,2002:set has no meaning"),
        (read_yaml, "a: !!binary aGk=", "has no meaning here"),
        (read_yaml, "a: 1\n---\nb: 2", "Line 2: a second document begins"),
        (read_yaml, 'a: "\\ud800"', "half of a surrogate pair"),
        (read_yaml, "a: [", "this is not YAML"),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_stands(
    read: Any, text: str, sentence: str
) -> None:
    with pytest.raises(UnreadableSpace) as refused:
        read(text)
    assert sentence in str(refused.value)


def test_both_readers_know_the_line_of_every_key_and_item() -> None:
    json_read = read_json('{"a": {\n  "b": 1,\n  "c": [\n 5,\n 6]},\n "d": 2}')
    yaml_read = read_yaml("a:\n  b: 1\n  c:\n  - 5\n  - 6\nd: 2")
    assert json_read == yaml_read == {"a": {"b": 1, "c": [5, 6]}, "d": 2}
    assert [line_of(json_read["a"], key) for key in ("b", "c", "x")] == [2, 3, None]
    assert [line_of(yaml_read["a"], key) for key in ("b", "c", "x")] == [2, 3, None]
    assert [line_of(json_read["a"]["c"], index) for index in (0, 1, 2)] == [4, 5, None]
    assert [line_of(yaml_read["a"]["c"], index) for index in (0, 1, 2)] == [4, 5, None]
    assert (line_of(json_read, "d"), line_of(yaml_read, "d")) == (6, 6)


def levels(line: str, times: int) -> str:
    """A text whose every line stands for ten of the line before."""
    return "\n".join(
        ["l0: &l0 {k0: 1, k1: 1, k2: 1, k3: 1, k4: 1}"]
        + [line.replace("N", str(n)).replace("P", f"*l{n - 1}") for n in range(1, times)]
    )


@pytest.mark.parametrize(
    "line",
    [
        "lN: &lN {<<: [" + ", ".join(["P"] * 10) + "]}",
        "lN: &lN [" + ", ".join(["P"] * 10) + "]",
        "lN: &lN {a: P, b: P, c: P, d: P, e: P, f: P, g: P, h: P}",
        "lN: &lN\n  <<: P\n  x: P\n  y: P\n  z: P",
    ],
)
def test_a_yaml_text_cannot_build_more_than_its_bound(line: str) -> None:
    began = time.perf_counter()
    with pytest.raises(UnreadableSpace, match=rf"builds more than {MAX_BUILT:,} values"):
        read_yaml(levels(line, 40))
    assert time.perf_counter() - began < 2


def test_a_list_longer_than_the_bound_is_not_read_to_its_end() -> None:
    with pytest.raises(UnreadableSpace, match="builds more than"):
        read_yaml("- 1\n" * 24_000)
    assert len(read_yaml("- 1\n" * (MAX_BUILT - 1))) == MAX_BUILT - 1
