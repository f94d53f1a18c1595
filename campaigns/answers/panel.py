"""The data of one panel of the analysis."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError

from campaigns.clock import database_now
from campaigns.models import Campaign
from campaigns.panels import Subject, panel
from campaigns.serializers.analysis import PanelSerializer
from campaigns.standings import leaderboard


def panel_data(
    campaign: Campaign, key: str, *, device: str = "", x: str = "", y: str = ""
) -> dict[str, Any]:
    """Return the data of a panel (a key of PANELS) as JSON data. Raises ValidationError."""
    check_subject(campaign, device=device, x=x, y=y)
    found = panel(key, Subject(campaign, database_now(), device=device, x=x, y=y))
    answer = {
        "key": key,
        "title": found.title,
        "empty": found.empty,
        "columns": found.heads,
        "rows": found.rows,
        "notes": found.notes,
        "warnings": found.warnings,
        "choices": found.selects,
    }
    data: dict[str, Any] = PanelSerializer(answer).data
    return data


def check_subject(campaign: Campaign, *, device: str, x: str, y: str) -> None:
    """Raise ValidationError unless the campaign has such a device and such parameters; "" fits."""
    _must_be_one_of("device", device, ranked_devices(campaign))
    for name, asked in (("x", x), ("y", y)):
        _must_be_one_of(name, asked, parameter_names(campaign))


def ranked_devices(campaign: Campaign) -> list[str]:
    """Return the kinds of device that brought ranked results, by name."""
    return sorted({kind.device for kind in leaderboard.kinds(campaign) if kind.is_ranked})


def parameter_names(campaign: Campaign) -> list[str]:
    """Return the names of the search space's parameters, in its order."""
    return [str(one["name"]) for one in campaign.search_space["parameters"]]


def _must_be_one_of(name: str, asked: str, known: list[str]) -> None:
    if asked and asked not in known:
        raise ValidationError({name: [f"Must be one of: {', '.join(known) or 'none yet'}."]})
