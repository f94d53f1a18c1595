"""Bodies checked at once: accepted or refused, and read, exactly as their serializer does it."""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework import serializers

from campaigns.serializers.agents import (
    MAX_POINTS_IN_HEARTBEAT,
    ClaimRequestSerializer,
    HeartbeatRequestSerializer,
    ReleaseRequestSerializer,
    SubmissionSerializer,
)
from workers.api import plain_bodies
from workers.api.fields import StrictCharField, StrictIntegerField
from workers.api.plain_bodies import NotPlain, plain_reader, validated
from workers.protocol import MAX_PROGRESS_POINTS_PER_HEARTBEAT

Shape = type[serializers.Serializer[Any]]
ID: Final = str(uuid.UUID(int=7))
POINT: Final = {
    "seq": 1,
    "elapsed_seconds": 2,
    "step": 3,
    "tokens": None,
    "train_loss": 1e30,
    "val_bpb": 2.5,
}
# A body of each shape with every field that it has.
FULL: Final[dict[Shape, dict[str, Any]]] = {
    ClaimRequestSerializer: {
        "claim_id": ID,
        "boot_id": "{" + ID + "}",
        "count": 4,
        "slots": 64,
        "simulate": False,
        "hardware": {
            "platform": " Linux ",
            "python_version": "3.11",
            "cpu_model": "Intel® Xeon",
            "cpu_count": 4,
            "ram_bytes": 2**40,
            "torch_version": "",
            "devices": ["cuda", " cpu ", ""],
            "gpu_name": "\u3000",
            "gpu_memory_bytes": 0,
            "notes": [],
            "machine": "m",
        },
        "agent_version": "0.2.0",
        "isolation": "T1",
        "accepts_uploaded_scripts": True,
        "calibrates": False,
        "scripts": ["a" * 64, "0" * 64],
        "runs_server_code": False,
        "longest_seconds": 0,
        "unknown": {"of": "a newer agent"},
    },
    HeartbeatRequestSerializer: {
        "boot_id": ID,
        "leases": [
            {"lease_id": ID, "progress": [POINT, POINT | {"elapsed_seconds": 1e9, "seq": 2}]},
            {"lease_id": str(uuid.UUID(int=8)), "progress": []},
            {"lease_id": uuid.UUID(int=9).hex},
        ],
        "owner_pause": {"seconds": None},
    },
    SubmissionSerializer: {
        "outcome": "failed",
        "metrics": {"a": [1, {"b": None}]},
        "failure_class": "script_error",
        "message": " said\n",
        "exit_code": -1,
        "stderr_tail": " kept as it is \n",
        "wall_time_seconds": 1.5,
        "foreign_load": None,
        "simulated": True,
        "code_sha256": "",
        "final": True,
    },
    ReleaseRequestSerializer: {"reason": "the machine is needed"},
}
# What stands in the place of a value.
ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 1.5, -0.0, 2**31, 2**63 - 1, -(2**63), 1e12, 1e300, 64, 65),
    *("", " ", "x", "5", "true", "a" * 64, "A" * 64, "T0", "T9", "completed", "ok\0", "\u202e"),
    *("é" * 1001, "x" * 70_000, "\n", ID, f"urn:uuid:{ID}", ID.upper(), "\ud800", "\x1b[31m"),
    *([], {}, [None], [1], [""], [{}], {"": None}, {"seconds": 1}, [ID, ID], ["a" * 64] * 500),
)


def both(shape: Shape, body: Any) -> tuple[Any, bool]:
    """Return what the serializer says of the body, and whether the plain reader took it."""
    serializer = shape(data=copy.deepcopy(body))
    expected = serializer.validated_data if serializer.is_valid() else None
    try:
        read = plain_reader(shape)(copy.deepcopy(body))
    except NotPlain:
        return expected, False
    assert expected is not None, f"the serializer refuses it: {serializer.errors}"
    assert_same(read, expected)
    return expected, True


def assert_same(read: Any, expected: Any) -> None:
    """Compare values and their types, since True is 1 and 1 is 1.0."""
    if isinstance(expected, dict):
        assert list(read) == list(expected)
        for name, value in expected.items():
            assert_same(read[name], value)
    elif isinstance(expected, list):
        assert len(read) == len(expected)
        for one, other in zip(read, expected, strict=True):
            assert_same(one, other)
    else:
        assert (type(read), read) == (type(expected), expected)


@pytest.mark.parametrize("shape", FULL)
def test_a_full_body_is_taken_and_read_as_by_its_serializer(shape: Shape) -> None:
    expected, was_taken = both(shape, FULL[shape])
    assert was_taken
    assert expected.keys() == FULL[shape].keys() - {"unknown"}


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to each value of a body, its own included."""
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    return [at, *(path for key, child in children for path in places(child, (*at, key)))]


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(body)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return changed


@pytest.mark.parametrize("shape", FULL)
def test_each_value_in_each_place_is_taken_or_refused_alike(shape: Shape) -> None:
    taken = refused = 0
    for path in places(FULL[shape]):
        for odd in ODD:
            expected, was_taken = both(shape, replaced(FULL[shape], path, odd))
            taken += was_taken
            refused += expected is None
    assert taken
    assert refused


@pytest.mark.parametrize("shape", FULL)
def test_a_body_without_one_of_its_fields_is_taken_or_refused_alike(shape: Shape) -> None:
    for path in places(FULL[shape]):
        if path and isinstance(path[-1], str):
            parent: Any = FULL[shape]
            for key in path[:-1]:
                parent = parent[key]
            without = {name: value for name, value in parent.items() if name != path[-1]}
            both(shape, replaced(FULL[shape], path[:-1], without))


JSON: Final = st.recursive(
    st.sampled_from(ODD)
    | st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(FULL)), st.data())
def test_random_bodies_are_taken_or_refused_alike(shape: Shape, data: st.DataObject) -> None:
    body: Any = FULL[shape]
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(places(body)))
        body = replaced(body, path, data.draw(JSON))
    both(shape, body)


def test_more_points_than_are_stored_are_sampled_alike() -> None:
    count = MAX_POINTS_IN_HEARTBEAT // MAX_PROGRESS_POINTS_PER_HEARTBEAT + 1
    points = [POINT | {"seq": seq} for seq in range(MAX_PROGRESS_POINTS_PER_HEARTBEAT)]
    leases = [{"lease_id": str(uuid.UUID(int=lease)), "progress": points} for lease in range(count)]
    expected, was_taken = both(HeartbeatRequestSerializer, {"boot_id": ID, "leases": leases})
    assert was_taken
    share = MAX_POINTS_IN_HEARTBEAT // count
    assert [len(lease["progress"]) for lease in expected["leases"]] == [share] * count


def test_what_is_not_plain_is_refused_in_the_words_of_the_serializer() -> None:
    with pytest.raises(serializers.ValidationError) as refusal:
        validated(ReleaseRequestSerializer, {"reason": 5})
    assert json.dumps(refusal.value.detail) == '{"reason": ["Not a valid string."]}'


class WithADefault(serializers.Serializer[Any]):
    """A shape that the reader does not know how to read."""

    count = StrictIntegerField(default=3)


class WithAnotherName(serializers.Serializer[Any]):
    """Another one."""

    name = StrictCharField(source="title")


class WithAnUnknownCheck(serializers.Serializer[Any]):
    """A third one."""

    count = StrictIntegerField(validators=[lambda value: None])


@pytest.mark.parametrize("shape", [WithADefault, WithAnotherName, WithAnUnknownCheck])
def test_a_shape_that_would_be_read_otherwise_is_an_error(shape: Shape) -> None:
    with pytest.raises(TypeError):
        plain_reader(shape)


def test_a_field_without_a_check_of_its_own_is_asked_itself() -> None:
    assert plain_bodies._MAKERS.get(serializers.JSONField) is None
    _, was_taken = both(SubmissionSerializer, {"outcome": "completed", "metrics": {"é": 1e-7}})
    assert was_taken
    _, was_taken = both(
        SubmissionSerializer, {"outcome": "completed", "metrics": {"a": "x" * 70_000}}
    )
    assert not was_taken
