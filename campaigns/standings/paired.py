"""The difference of each arm to a baseline arm within the classes, where the board shows all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db.models import Count, F, Q, QuerySet, Subquery

from campaigns.caching import cached_by_revision, cached_roughly
from campaigns.models import Campaign, Result, TaskPurpose
from campaigns.race.paired import (
    SEEDS_NOT_SHARED,
    PairedDifference,
    PairedRun,
    paired_differences,
    paired_words,
)
from campaigns.standings.classes import EVERY_CLASS, classes_of
from campaigns.standings.raced import ArmRow
from experiments.metrics import MetricSpec

_UNDISTURBED = ~Q(disturbed=True) & ~Q(slow_setup=True)


class Paired(NamedTuple):
    """Columns of a row; both None where the arm has no pair."""

    difference: float | None
    pairs: int | None


@dataclass(frozen=True)
class PairedRows:
    """The differences of some rows of the board. `words` is "" where none are to be shown."""

    words: str = ""
    baseline: int | None = None
    by_arm: dict[int, PairedDifference] = field(default_factory=dict)

    def text(self, arm: int, spec: MetricSpec) -> str:
        """Return an arm's difference with its number of pairs: "+0.0312 (n 3)"; "" without any."""
        row = self.by_arm.get(arm)
        return f"{spec.difference(row.difference, 0.0)} (n {row.pairs})" if row else ""

    def of(self, arm: int) -> Paired:
        """Return the columns of an arm."""
        row = self.by_arm.get(arm)
        return Paired(row.difference, row.pairs) if row else Paired(None, None)


# Of the board of one class.
NOT_PAIRED: Final = PairedRows()


def is_paired(campaign: Campaign, of_class: str) -> bool:
    """Return whether a board has differences: of several classes, shown together."""
    return of_class == EVERY_CLASS and len(classes_of(campaign)) > 1


def paired_rows(
    campaign: Campaign, rows: Sequence[ArmRow], *, of_class: str, baseline: int | None = None
) -> PairedRows:
    """Return the differences of these rows to an arm, by default to that of most classes.

    Only the runs of these rows are read. Nothing for the board of one class.
    """
    if not is_paired(campaign, of_class) or not rows:
        return NOT_PAIRED
    if not campaign.shares_seeds:
        return PairedRows(SEEDS_NOT_SHARED)
    arms = sorted(row.arm for row in rows)
    read: list[PairedRun] = []
    if baseline is None:

        def most_classes() -> int | None:
            # The same query reads the runs, if they are not cached either.
            number, runs = _of_most_classes(campaign, arms)
            read.extend(runs)
            return number

        baseline = cached_roughly(campaign, "baseline-arm", most_classes)
    if baseline is None:
        return PairedRows(paired_words(None, arms, ()))
    by_arm = cached_by_revision(
        campaign,
        "paired-arms",
        lambda: paired_differences(read or _runs(campaign, {*arms, baseline}), baseline),
        arms=arms,
        baseline=baseline,
    )
    return PairedRows(paired_words(baseline, arms, by_arm), baseline, by_arm)


def arm_in_address(campaign: Campaign, text: str) -> int | None:
    """Return the number of an arm as an address has it; None when the campaign has no such arm."""
    number = int(text) if re.fullmatch("[0-9]{1,9}", text) else None
    if number is None or not campaign.arms.filter(number=number).exists():
        return None
    return number


def _counted(campaign: Campaign) -> QuerySet[Result]:
    """Return the runs that count for their arm, and that nothing hindered."""
    return campaign.results.filter(_UNDISTURBED, is_ranked=True).order_by()


def _of_most_classes(campaign: Campaign, arms: Sequence[int]) -> tuple[int | None, list[PairedRun]]:
    """Return the arm with runs in most classes, and its runs with those of these arms. One query.

    Of several arms it is the one with the lowest number; None before the first run.
    """
    classes = Count("result_class", distinct=True)
    counted = _counted(campaign).values("arm__number").annotate(classes=classes)
    most = counted.order_by("-classes", "arm__number").values("arm__number")[:1]
    runs = _paired(campaign).annotate(baseline=Subquery(most))
    rows = runs.filter(Q(arm__number__in=arms) | Q(arm__number=F("baseline")))
    read = list(rows.values_list("baseline", *_COLUMNS))
    return (read[0][0] if read else None), _paired_runs(row[1:] for row in read)


def _runs(campaign: Campaign, arms: set[int]) -> list[PairedRun]:
    keys = campaign.arms.filter(number__in=arms).values("pk")
    return _paired_runs(_paired(campaign).filter(arm__in=keys).values_list(*_COLUMNS))


_COLUMNS: Final = ("arm__number", "result_class", "task__seed", "value")


def _paired(campaign: Campaign) -> QuerySet[Result]:
    return _counted(campaign).exclude(task__purpose=TaskPurpose.REPLAY)


def _paired_runs(rows: Iterable[tuple[Any, ...]]) -> list[PairedRun]:
    return [
        PairedRun(arm, of_class or 0, seed, value)
        for arm, of_class, seed, value in rows
        if value is not None
    ]
