"""The fields that a browser sends from the form of a new campaign."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign
from campaigns.views.new_campaign_form import CampaignForm

FRAGMENT = {"HX-Request": "true"}


def filled(**changes: Any) -> dict[str, Any]:
    form = CampaignForm()
    values = {name: field.initial for name, field in form.fields.items() if field.initial}
    return (
        values
        | {"name": "What does width buy?", "experiment": "train_char_lm", "sampler": "random"}
        | {"budget_kind": "time"}
        | changes
    )


def posted(client: Client, headers: dict[str, str] | None = None, **changes: Any) -> Any:
    return client.post(reverse("campaign-new"), filled(**changes), headers=headers or {})


def rows(*parameters: dict[str, str], constraints: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields that a browser sends for the rows of a search space."""
    data: dict[str, Any] = {
        "space_mode": "rows",
        "search_space": "",
        "parameter": [str(key) for key in range(len(parameters))],
        "constraint": [str(key) for key in range(len(constraints))],
    }
    for key, parameter in enumerate(parameters):
        data |= {f"p{key}-{name}": text for name, text in parameter.items()}
    return data | {f"c{key}-text": text for key, text in enumerate(constraints)}


LR = {"name": "lr", "type": "float", "low": "1e-4", "high": "1e-2", "scale": "log"}
WIDTH = {"name": "d_model", "type": "choice", "values": "64, 128, 256"}
HEADS = {"name": "n_heads", "type": "int", "low": "1", "high": "5", "step": "1"}


def edited(client: Client, edit: str, headers: dict[str, str] | None = None, **data: Any) -> str:
    response = posted(client, headers or FRAGMENT, edit=edit, **data)
    assert response.status_code == 200
    assert not Campaign.objects.exists()
    return str(response.text)


def names(page: str) -> list[str]:
    """The names of the parameters' rows, in order."""
    return [piece.split('"')[0] for piece in page.split('-name" value="')[1:]]
