"""The form of a new fleet token, which page and command share."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django import forms
from django.core.validators import RegexValidator

from workers.fleet_token import (
    MAX_FLEET_WORKERS,
    MAX_PREFIX_LENGTH,
    PREFIX_PATTERN,
    PREFIX_WORDS,
    TIER_CHOICES,
)

MAX_LABEL_LENGTH: Final = 100
MAX_DAYS: Final = 3_650
_TIERS: Final = [("", "any isolation"), *TIER_CHOICES[1:]]


class FleetTokenForm(forms.Form):
    """What a fleet's token allows."""

    label = forms.CharField(
        max_length=MAX_LABEL_LENGTH,
        label="For which cluster",
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "Slurm, queue gpu"}),
    )
    name_prefix = forms.CharField(
        max_length=MAX_PREFIX_LENGTH,
        label="Its workers' names begin with",
        validators=[RegexValidator(PREFIX_PATTERN, PREFIX_WORDS)],
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "slurm"}),
        help_text=PREFIX_WORDS,
    )
    max_live = forms.IntegerField(
        min_value=1,
        max_value=MAX_FLEET_WORKERS,
        label="Most live workers",
        help_text="A further job waits until one has ended.",
    )
    tier = forms.ChoiceField(
        choices=_TIERS,
        required=False,
        label="Weakest isolation",
        help_text="Its workers get tasks only where their machine isolates scripts as well.",
    )
    lifetime_days = forms.IntegerField(
        min_value=1,
        max_value=MAX_DAYS,
        required=False,
        label="Valid for days",
        help_text="Empty: until it is revoked.",
    )

    def scope(self) -> dict[str, Any]:
        """Return the arguments of `steering.create_fleet` that a valid form gives."""
        scope = dict(self.cleaned_data)
        days = scope.pop("lifetime_days")
        return scope | {"lifetime": dt.timedelta(days=days) if days else None}
