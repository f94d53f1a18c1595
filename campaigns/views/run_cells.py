"""The rows of the list of runs as markup, made before the template runs.

A page has about a thousand cells. A template that looked up, filtered and escaped each of them took
most of the page's time; here each cell is a single call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from campaigns.standings.rows import Line, Standing
from campaigns.views.table_heads import PARAMS_ON_A_PHONE
from experiments.metrics import MetricSpec
from xeenet_site.web.formats import chip, count, duration, unknown, value

_SUBSET: Final = mark_safe(
    ' <abbr title="Evaluated on a fixed subset: the whole validation split did not fit in the '
    'budget">*</abbr>'
)
_NOTHING: Final = mark_safe("")
# Standing -> the state that the chip looks like, and its text.
_CHIPS: Final = {
    Standing.DIVERGED: ("diverged", "diverged"),
    Standing.BUDGET_TOO_SMALL: ("late", "budget too small"),
    Standing.IMPLAUSIBLE: ("implausible", "implausible, not counted"),
    Standing.FAILED: ("failed", "failed"),
    Standing.SIMULATED: ("simulated", "SIMULATED"),
}


@dataclass(frozen=True, slots=True)
class Cells:
    """One row. All fields are markup already, or need no escaping."""

    # What the task is called, for the comparison.
    task: SafeString
    number: SafeString
    url: str
    value: SafeString
    # Stands after the value: a chip with the reason, or the mark of a subset.
    note: SafeString
    params: SafeString
    seed: SafeString
    steps: SafeString
    tokens: SafeString
    device: SafeString
    time: SafeString


def cells(
    campaign: int,
    lines: Iterable[Line],
    spec: MetricSpec,
    varying: Sequence[str],
    whole: Collection[str],
) -> list[Cells]:
    """Return the cells of each line of a campaign, with values of the metric `spec`.

    `varying` are the params that have a column, `whole` those of them that are aligned as numbers.
    """
    # The addresses differ only in the task's number, so reverse only once.
    url = reverse("task", args=[campaign, 0])
    tags = [
        f'<td class="{"number " if name in whole else ""}mono'
        f'{" wide-only" if place >= PARAMS_ON_A_PHONE else ""}">'
        for place, name in enumerate(varying)
    ]
    params = list(zip(varying, tags, strict=True))
    return [_cells(line, spec, params, f"{campaign}/", url) for line in lines]


def _cells(
    line: Line, spec: MetricSpec, params: Sequence[tuple[str, str]], prefix: str, url: str
) -> Cells:
    number = str(line.number)
    return Cells(
        task=_plain(prefix + number),
        number=_plain(number),
        url=f"{url.removesuffix('0/')}{number}/",
        value=unknown(line.reason) if line.value is None else _plain(spec.text(line.value)),
        note=_note(line),
        params=_params(line, params),
        seed=_plain(str(line.seed)),
        steps=_number(line.steps),
        tokens=_number(line.tokens),
        device=escape(line.device) if line.device else unknown("no device was reported"),
        time=_time(line.seconds),
    )


def _note(line: Line) -> SafeString:
    if line.rank is not None:
        return _SUBSET if line.is_subset else _NOTHING
    return _reason(line.standing, line.reason)


@cache
def _reason(standing: Standing, reason: str) -> SafeString:
    state, word = _CHIPS[standing]
    # The chip says only "failed", so add the failure class.
    detail = reason.partition(": ")[2] if standing == Standing.FAILED else ""
    return format_html(' {} <span class="soft small">{}</span>', chip(state, word, reason), detail)


def _params(line: Line, params: Sequence[tuple[str, str]]) -> SafeString:
    """Return a cell for each param. `params` are names with the tag that opens the cell."""
    params_cells = [f"{tag}{escape(value(line.params.get(name)))}</td>" for name, tag in params]
    return mark_safe("".join(params_cells))  # noqa: S308 - each value is escaped


def _number(number: int | None) -> SafeString:
    return unknown("no result") if number is None else _plain(count(number))


def _time(seconds: float | None) -> SafeString:
    return unknown("no result") if seconds is None else _plain(duration(seconds))


def _plain(number: str) -> SafeString:
    """Mark a formatted number as safe; it has nothing to escape."""
    return mark_safe(number)  # noqa: S308 - digits, letters of units, spaces
