"""campaigns.search.seeds: the list of seeds that all arms of a campaign share."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.search import seeds
from campaigns.search.seeds import SEARCHED, index_of, seed_at

LARGEST = 2**31 - 1


def test_the_list_begins_with_the_base_seed_and_goes_on_with_its_hashes() -> None:
    # The first 31 bits of sha256("42:1"), sha256("42:2"), sha256("42:3"), computed by sha256sum.
    assert [seed_at(42, index) for index in range(4)] == [42, 32439336, 1727707083, 1285675614]
    for index in range(1, 200):
        digest = hashlib.sha256(f"42:{index}".encode()).hexdigest()
        assert seed_at(42, index) == int(digest, 16) >> (256 - 31)


@given(base_seed=st.integers(0, LARGEST), length=st.integers(1, 300))
def test_no_seed_comes_twice_and_each_is_found_at_its_place(base_seed: int, length: int) -> None:
    listed = [seed_at(base_seed, index) for index in range(length)]
    assert len(set(listed)) == length
    assert all(0 <= seed <= LARGEST for seed in listed)
    assert [index_of(base_seed, seed) for seed in listed] == list(range(length))


def test_a_hash_that_equals_an_earlier_seed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Digest:
        """The hashes 1 and 3 are the base seed 5 again, all others a number of their own."""

        def __init__(self, text: bytes) -> None:
            number = int(text.decode().partition(":")[2])
            self.seed = 5 if number in {1, 3} else number + 100

        def digest(self) -> bytes:
            return (self.seed << 1).to_bytes(4)

    seeds._first.cache_clear()
    monkeypatch.setattr(seeds.hashlib, "sha256", Digest)
    try:
        assert [seed_at(5, index) for index in range(4)] == [5, 102, 104, 105]
    finally:
        seeds._first.cache_clear()


def test_a_seed_outside_the_list_has_no_index() -> None:
    assert index_of(42, 43) is None
    assert index_of(42, seed_at(42, SEARCHED - 1)) == SEARCHED - 1
    assert index_of(42, seed_at(42, SEARCHED)) is None


def test_far_seeds_do_not_depend_on_what_was_looked_up_before() -> None:
    seeds._first.cache_clear()
    far = seed_at(7, 5_000)
    seeds._first.cache_clear()
    near = [seed_at(7, index) for index in range(5)]
    assert seed_at(7, 5_000) == far
    assert [seed_at(7, index) for index in range(5)] == near
