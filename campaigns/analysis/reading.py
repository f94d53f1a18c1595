"""The query behind every analysis: the measured, ranked results of a campaign."""

from __future__ import annotations

from typing import Any, Final, cast

from django.db.models import BigIntegerField, ExpressionWrapper, F, QuerySet

from campaigns.analysis.runs import Run, Runs
from campaigns.models import Campaign, Result

# More runs would not change the findings, and reading ten times as many takes seconds.
MAX_RUNS: Final = 10_000
# Multiplying a task's number by this factor (Knuth's hash) spreads neighbouring numbers over the
# whole 32-bit range. So a share of the range is a fair sample even of tasks on a grid.
_SPREAD: Final = 2_654_435_761
_RANGE: Final = 2**32


def read_runs(campaign: Campaign, *, device: str = "", limit: int = MAX_RUNS) -> Runs:
    """Read the ranked results of a campaign, or of one device of it.

    If there are more than `limit`, read a fair sample of about that many.
    """
    ranked: QuerySet[Result] = Result.objects.filter(campaign=campaign, is_ranked=True)
    if device:
        ranked = ranked.filter(device_used=device)
    total = ranked.count()
    if total > limit:
        ranked = _sampled(ranked, limit / total)
    rows = ranked.order_by("task__number").values_list(
        "task__number",
        "task__seed",
        "task__params",
        "task__arm_id",
        "value",
        "sort_key",
        "steps_completed",
        "tokens_trained",
        "model_params",
        "device_used",
    )
    return Runs([Run(*row) for row in cast(list[tuple[Any, ...]], list(rows))], total)


def _sampled(ranked: QuerySet[Result], share: float) -> QuerySet[Result]:
    spread = ExpressionWrapper(F("task__number") * _SPREAD % _RANGE, output_field=BigIntegerField())
    return ranked.annotate(spread=spread).filter(spread__lt=int(share * _RANGE))
