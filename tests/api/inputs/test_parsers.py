"""The strict JSON parser accepts only values that both databases and their types can hold."""

from __future__ import annotations

import contextlib
import io
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError

from campaigns.api.parsers import (
    MAX_BODY_BYTES,
    PayloadTooLarge,
    StrictJSONParser,
    parse_strict_json,
)
from tests.hostile import HOSTILE_BODIES


@pytest.mark.parametrize(("body", "reason"), HOSTILE_BODIES.values(), ids=HOSTILE_BODIES.keys())
def test_a_hostile_body_is_refused_in_time_with_a_sentence_that_says_why(
    body: bytes, reason: str
) -> None:
    started = time.process_time()
    with pytest.raises((ParseError, PayloadTooLarge)) as refusal:
        StrictJSONParser().parse(io.BytesIO(body))
    # The documented limit is 100 ms; slow machines get more.
    assert time.process_time() - started < 0.5
    sentence = str(refusal.value.detail)
    assert reason in sentence
    assert len(sentence) < 300
    sentence.encode()  # can be sent


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' {"a": [1, -2.5, 1e300, true, null, "\\u00e9\\ud83d\\ude00", {"b": []}]} ',
        json.dumps({"largest": 2**63 - 1, "smallest": -(2**63)}).encode(),
        '{"text": "tab\\tand ü"}'.encode(),
        b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
        b'{"underflow": 1e-400}',
    ],
)
def test_plain_json_passes_unchanged(body: bytes) -> None:
    assert parse_strict_json(body) == json.loads(body)


def test_a_body_of_exactly_the_largest_size_passes() -> None:
    body = b'{"a": "' + b"x" * (MAX_BODY_BYTES - 9) + b'"}'
    assert len(body) == MAX_BODY_BYTES
    assert len(StrictJSONParser().parse(io.BytesIO(body))["a"]) == MAX_BODY_BYTES - 9


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":[' + b"[]," * 349_000 + b"[]]}",
        b'{"a":"' + b'\\"' * 500_000 + b'"}',
        b'{"a":"' + b"\\u0041" * 170_000 + b'"}',
        b'{"a":"' + b'\\"' * 500_000,
        b'{"a"' + b'"' * 1_000_000,
        b"{" + b"]" * 1_000_000,
        b"{" + b"\\u0041" * 170_000,
    ],
    ids=range(7),
)
def test_the_largest_body_takes_no_longer_whatever_is_in_it(body: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(ParseError):
        parse_strict_json(body)
    assert time.process_time() - started < 0.5


storable_text = st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10
)
storable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(storable_text, inner, max_size=4),
    max_leaves=20,
)


# No deadline, so that a busy machine does not fail the test.
@settings(deadline=None)
@given(st.dictionaries(storable_text, storable, max_size=5), st.booleans())
def test_whatever_can_be_stored_passes_however_it_is_escaped(
    value: dict[str, Any], ascii_only: bool
) -> None:
    assert parse_strict_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_at_all_raise_anything_but_a_refusal(body: bytes) -> None:
    with contextlib.suppress(ParseError):
        parse_strict_json(body)
