"""The board of arms as a file for spreadsheets, streamed from the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from campaigns.exports.rows import CHUNK_ROWS, PARAM_PREFIX
from campaigns.models import Campaign
from campaigns.standings import arms
from campaigns.standings.paired import Paired, is_paired, paired_rows
from xeenet_site.web import csv_text

_FIELDS: Final = (
    "rank",
    "arm",
    "standing",
    "value",
    "half_width",
    "seeds",
    "at_least",
    "bad_seeds",
    "first_task",
)


def csv_lines(
    campaign: Campaign, *, result_class: str = "", baseline: int | None = None
) -> Iterator[str]:
    """Yield a head and one line per arm, in the order of the board; see `standings.arms.rows`.

    The value has the name of the campaign's metric, and each param of the search space a column.
    The board of all classes has two more, for the difference to the arm `baseline`.
    """
    params = [parameter["name"] for parameter in campaign.search_space["parameters"]]
    names = {"value": campaign.metric_spec.name}
    head = [names.get(name, name) for name in _FIELDS]
    head += ["note", *(PARAM_PREFIX + name for name in params)]
    if is_paired(campaign, result_class):
        head += [*Paired._fields, "baseline"]
    return csv_text.csv_lines(head, _rows(campaign, params, result_class, baseline))


def _rows(
    campaign: Campaign, params: list[str], result_class: str, baseline: int | None
) -> Iterator[list[Any]]:
    offset, has_pairs = 0, is_paired(campaign, result_class)
    while part := arms.rows(campaign, limit=CHUNK_ROWS, offset=offset, of_class=result_class):
        paired = paired_rows(campaign, part, of_class=result_class, baseline=baseline)
        notes = dict(
            campaign.notes.filter(arm__number__in=[row.arm for row in part])
            .order_by()
            .values_list("arm__number", "text")
        )
        for row in part:
            cells = [getattr(row, name) for name in _FIELDS]
            cells += [notes.get(row.arm, ""), *(row.params.get(name) for name in params)]
            if has_pairs:
                cells += [*paired.of(row.arm), paired.baseline]
            yield cells
        offset += len(part)
