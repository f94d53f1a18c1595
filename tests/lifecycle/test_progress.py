"""Progress of an attempt: bounded whatever its sender reports, and sampled by position."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.analysis.curves import load_progress
from campaigns.charts.learning_curve import learning_curve
from campaigns.lifecycle.progress import MAX_POINTS_PER_ATTEMPT
from campaigns.models import Attempt, ProgressPoint
from experiments.metrics import VAL_BPB
from tests.factories import at, finish, leased_task
from workers.protocol import ProgressPoint as WireProgressPoint

pytestmark = pytest.mark.django_db
MOST: Any = MAX_POINTS_PER_ATTEMPT


def report(attempt: Attempt, *seqs: int, seconds: float = 10) -> None:
    """Renew the lease with points of these numbers."""
    points = [WireProgressPoint(seq=seq, elapsed_seconds=float(seq), step=seq) for seq in seqs]
    lifecycle.renew(attempt.worker, attempt.lease_id, now=at(seconds), progress=points)


@pytest.mark.parametrize("spacing", [1, 15, 100_000])
def test_an_attempt_keeps_a_bounded_curve_from_its_first_to_its_last_point(spacing: int) -> None:
    attempt = leased_task()
    sent = [number * spacing for number in range(3 * MOST)]
    for start in range(0, len(sent), 200):
        report(attempt, *sent[start : start + 200])
        assert attempt.progress.count() <= MOST
    stored = list(attempt.progress.order_by("seq").values_list("seq", flat=True))
    assert (stored[0], stored[-1]) == (sent[0], sent[-1])
    assert len(stored) > MOST // 2
    gaps = [later - earlier for earlier, later in itertools.pairwise(stored)]
    assert max(gaps) <= 16 * spacing


def test_nothing_is_kept_of_what_is_reported_after_the_end() -> None:
    attempt = leased_task()
    report(attempt, 0)
    finish(attempt, now=at(20))
    report(attempt, 1, 2, 3, seconds=30)
    assert list(attempt.progress.values_list("seq", flat=True)) == [0]


def points(attempt: Attempt, count: int, spacing: int) -> None:
    """Store points as an older version of the server let them in."""
    ProgressPoint.objects.bulk_create(
        ProgressPoint(
            attempt=attempt, seq=number * spacing, elapsed_seconds=number, step=1, train_loss=2.0
        )
        for number in range(count)
    )


@pytest.mark.parametrize("spacing", [1, 15, 4096])
def test_a_page_draws_a_sample_by_position_whatever_the_numbers_are(spacing: int) -> None:
    first, second = leased_task(), leased_task()
    points(first, 3_000, spacing)
    points(second, 1_000, 7 * spacing)
    attempts = [first, second]
    assert load_progress(attempts, limit=400)
    drawn = [[point.elapsed_seconds for point in attempt.progress.all()] for attempt in attempts]
    assert [len(seconds) for seconds in drawn] == [301, 101]
    assert [(seconds[0], seconds[-1]) for seconds in drawn] == [(0, 2_999), (0, 999)]


def test_a_short_curve_is_drawn_whole() -> None:
    attempt = leased_task()
    points(attempt, 400, 1)
    assert not load_progress([attempt], limit=400)
    assert len(attempt.progress.all()) == 400
    assert not load_progress([], limit=400)


def test_losses_beyond_sane_size_are_not_drawn() -> None:
    attempt = leased_task()
    points(attempt, 2, 1)
    ProgressPoint.objects.create(
        attempt=attempt, seq=9, elapsed_seconds=9, step=9, train_loss=1e308, value=-1e308
    )
    load_progress([attempt])
    figure = learning_curve([attempt], VAL_BPB)
    assert figure is not None
    assert [trace["x"] for trace in figure["data"]] == [[0, 1]]
