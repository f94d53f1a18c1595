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
    computed = panel(key, Subject(campaign, database_now(), device=device, x=x, y=y))
    answer = {
        "key": key,
        "title": computed.title,
        "empty": computed.empty,
        "columns": computed.heads,
        "rows": computed.rows,
        "notes": computed.notes,
        "warnings": computed.warnings,
        "choices": computed.selects,
    }
    data: dict[str, Any] = PanelSerializer(answer).data
    return data


def check_subject(campaign: Campaign, *, device: str, x: str, y: str) -> None:
    """Raise ValidationError for a device or parameter that the campaign lacks; "" is valid."""
    _must_be_one_of("device", device, ranked_devices(campaign))
    for name, parameter in (("x", x), ("y", y)):
        _must_be_one_of(name, parameter, parameter_names(campaign))


def ranked_devices(campaign: Campaign) -> list[str]:
    """Return the devices that ranked results were measured on, sorted by name."""
    return sorted({kind.device for kind in leaderboard.kinds(campaign) if kind.is_ranked})


def parameter_names(campaign: Campaign) -> list[str]:
    """Return the names of the search space's parameters, in its order."""
    return [str(parameter["name"]) for parameter in campaign.search_space["parameters"]]


def _must_be_one_of(name: str, value: str, known: list[str]) -> None:
    if value and value not in known:
        raise ValidationError({name: [f"Must be one of: {', '.join(known) or 'none yet'}."]})
