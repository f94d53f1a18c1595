"""Which tests with a database run on one only: the table names tests that are there."""

import pytest

from tests.once import ON_BOTH, ONCE, is_once
from tests.processes import ROOT


@pytest.mark.parametrize(
    ("name", "markers", "once"),
    [
        ("tests/pages/test_task.py::test_a_curve", {"django_db"}, True),
        ("tests/pages/test_task.py::test_its_queries_do_not_grow_with_the_attempts", set(), False),
        ("tests/pages/test_workers.py::test_x[a/b::c]", {"django_db"}, False),
        # It would run nowhere.
        ("tests/pages/test_task.py::test_a_curve", {"postgresql_only"}, False),
        ("tests/lifecycle/test_expire.py::test_x", {"django_db"}, False),
    ],
)
def test_the_table_and_its_exceptions_say_which(name: str, markers: set[str], once: bool) -> None:
    assert is_once(name, markers) is once


def test_every_name_of_the_table_is_there_and_each_exception_is_one() -> None:
    listed = tuple(name for names in ONCE.values() for name in names)
    for name in (*listed, *ON_BOTH):
        path, _, test = name.partition("::")
        place = ROOT / "tests" / path
        assert place.exists(), name
        assert not test or f"\ndef {test}" in place.read_text(), name
    assert [name for name in ON_BOTH if not name.startswith(listed)] == []
