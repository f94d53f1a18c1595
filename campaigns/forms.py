"""The new-campaign form: it judges shape; `lifecycle.create_campaign` judges the rest."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from campaigns.lifecycle import CampaignSpec
from campaigns.models import MAX_SEED, Dataset
from campaigns.samplers import SAMPLERS
from campaigns.search_space import InvalidSearchSpace, SearchSpace
from experiments import catalog

MAX_BUDGET_SECONDS = 7 * 86_400


class CampaignForm(forms.Form):
    """A campaign as a researcher describes it; the search space as JSON text."""

    name = forms.CharField(
        max_length=200, help_text="What you want to know, in a few words.", strip=True
    )
    experiment = forms.ChoiceField(help_text="The training script each task runs.")
    dataset = forms.ChoiceField(
        label="Data set", help_text="Pinned by its hash; results on other data are refused."
    )
    task_count = forms.IntegerField(
        label="Tasks", min_value=1, initial=10, help_text="Each is one sampled config."
    )
    time_budget_seconds = forms.FloatField(
        label="Budget per task (seconds)",
        # A budget of nothing cannot be kept; the database refuses it too.
        min_value=0.1,
        max_value=MAX_BUDGET_SECONDS,
        initial=10,
        help_text="Training stops at 90 % of it; a run is killed 15 s after it.",
    )
    base_seed = forms.IntegerField(
        min_value=0,
        max_value=MAX_SEED,
        initial=42,
        help_text="Task k gets seed base + k. The same seed samples the same configs.",
    )
    sampler = forms.ChoiceField()
    search_space = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 20, "class": "code", "spellcheck": "false"}),
        help_text="JSON: parameters in drawing order (float, int, choice) and constraints.",
    )
    description = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 2}), help_text="Optional notes."
    )
    allow_simulated = forms.BooleanField(
        required=False,
        label="Also hand tasks to workers without torch",
        help_text="They return invented numbers: badged, and never ranked.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        experiments = catalog.all()
        first = experiments[0]
        self._choices("experiment", [(one.name, one.title) for one in experiments])
        self._choices("dataset", _dataset_choices())
        self._choices("sampler", [(name, name) for name in SAMPLERS])
        self.fields["dataset"].initial = first.datasets[0]
        self.fields["search_space"].initial = space_text(first.default_search_space)
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"help_{name}"

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - tells the type checker
        field.choices = choices

    def clean_search_space(self) -> dict[str, Any]:
        try:
            body = json.loads(self.cleaned_data["search_space"])
        except json.JSONDecodeError as error:
            raise forms.ValidationError(
                f"Line {error.lineno}, column {error.colno}: this is not JSON ({error.msg})."
            ) from error
        except RecursionError as error:
            raise forms.ValidationError("This JSON is nested too deeply.") from error
        try:
            return SearchSpace.parse(body).to_json()
        except InvalidSearchSpace as error:
            raise forms.ValidationError(
                [
                    f"{path or 'The search space'} {sentence}."
                    for path, sentences in error.errors.items()
                    for sentence in sentences
                ]
            ) from error

    def spec(self) -> CampaignSpec:
        """Return what a valid form says. The form's field names are the spec's."""
        return CampaignSpec(**self.cleaned_data)


def space_text(space: dict[str, Any]) -> str:
    """Write a search space for a person: one parameter a line."""
    parameters = ",\n".join(f"    {json.dumps(one)}" for one in space["parameters"])
    constraints = json.dumps(space.get("constraints", []))
    return f'{{\n  "parameters": [\n{parameters}\n  ],\n  "constraints": {constraints}\n}}'


def _dataset_choices() -> list[tuple[str, str]]:
    known = [(one.name, one.title) for one in catalog.all_datasets()]
    hashes = [one.sha256 for one in catalog.all_datasets()]
    stored = Dataset.objects.exclude(sha256__in=hashes).order_by("name")
    # By hash: several stored data sets may carry one name.
    return known + [(one.sha256, str(one)) for one in stored]
