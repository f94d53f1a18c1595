"""How many jobs are missing: what the server wants, less what lives, runs and waits already."""

from __future__ import annotations

import pytest

from tests.agent.fleet.demand_server import demand
from workers.agent.fleet.demand import Jobs, Wanted, missing, wanted_of

CPU = {"device": "cpu", "tier": "T0", "leased": 0, "live_workers": 1}
NEEDS = [
    CPU | {"claimable": 4, "wanted_workers": 4},
    CPU | {"device": "cuda", "claimable": 6, "wanted_workers": 3, "live_workers": 2},
    CPU | {"device": "any", "claimable": 1, "wanted_workers": 1, "live_workers": 3},
]


@pytest.mark.parametrize(
    ("workers", "live", "queued", "running", "expected"),
    [
        (5, 0, 0, 0, 5),
        (5, 2, 1, 2, 2),
        (5, 0, 0, 3, 2),  # these jobs run, but their agents have not enrolled yet
        (5, 4, 0, 1, 1),  # three live workers belong to another engine
        (5, 5, 0, 5, 0),
        (1, 5, 2, 5, 0),  # less is wanted than there is: nothing is cancelled
    ],
)
def test_what_is_missing_is_wanted_less_live_and_queued(
    workers: int, live: int, queued: int, running: int, expected: int
) -> None:
    assert missing(Wanted(workers, workers, live), Jobs(queued, running)) == expected


def test_agents_with_more_slots_are_fewer() -> None:
    assert wanted_of(demand(claimable=9, leased=1), slots=4).workers == 3


def test_never_more_than_the_token_allows() -> None:
    assert wanted_of(demand(claimable=90, max_live=7)).workers == 7


def test_the_servers_own_bound_counts_too() -> None:
    assert wanted_of(demand(claimable=90, wanted=2)).workers == 2


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cpu", Wanted(5, 5, 3)), ("cuda", Wanted(7, 4, 3)), ("mps", Wanted(1, 1, 3))],
)
def test_a_device_serves_its_own_needs_and_those_of_any(device: str, expected: Wanted) -> None:
    assert wanted_of(demand(claimable=11, needs=NEEDS), device=device) == expected
