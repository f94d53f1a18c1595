"""The form of a new campaign. It checks only shape; `lifecycle.create_campaign` does the rest."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from django import forms

from campaigns.clock import database_now
from campaigns.design.cloning import spec_of
from campaigns.design.work import origin_of_seconds
from campaigns.lifecycle import CampaignSpec
from campaigns.models import (
    MAX_BUDGET_SECONDS,
    MAX_MIN_EFFECT,
    MAX_RACE_SEEDS,
    MAX_SEED,
    MAX_TRIES,
    MIN_BUDGET_SECONDS,
    BudgetKind,
    Campaign,
    Dataset,
    WorkUnit,
)
from campaigns.race.look import FEWEST_COMMON
from campaigns.race.rows import MIN_EFFECT
from campaigns.race.rule import SEEDS
from campaigns.scripts import steering as script_steering
from campaigns.search.editor import SpaceEditor
from campaigns.search.samplers import MAX_TASKS, SAMPLERS
from campaigns.search.space import SearchSpace
from campaigns.search.space_json import InvalidSearchSpace
from campaigns.search.sweep_files import UnreadableSpace, read_json
from experiments import catalog
from workers.protocol import IsolationTier

ISOLATION_TITLES = {
    IsolationTier.T0: "T0: any worker",
    IsolationTier.T1: "T1: without network, in a sandbox",
}
BUDGET_TITLES = {
    BudgetKind.WORK.value: "after so much work",
    BudgetKind.TIME.value: "after so many seconds on the clock",
}
SAMPLER_TITLES = {"random": "random: independent draws", "grid": "grid: every combination"}


class CampaignForm(forms.Form):
    """The description of a campaign. The fields have the names of those of `CampaignSpec`.

    The search space is in the rows of `editor`, or with `as_json` in the text of `search_space`.
    """

    name = forms.CharField(
        max_length=200, help_text="What you want to know, in a few words.", strip=True
    )
    experiment = forms.ChoiceField(help_text="The training script each task runs.")
    dataset = forms.ChoiceField(
        label="Data set", help_text="Pinned by its hash. Results on other data are refused."
    )
    task_count = forms.IntegerField(
        label="Tasks",
        min_value=1,
        max_value=MAX_TASKS,
        error_messages={"max_value": f"This must be from 1 to {MAX_TASKS:,}."},
        initial=10,
        help_text="Each task is one sampled config.",
    )
    budget_kind = forms.ChoiceField(
        required=False,
        label="A run is over",
        choices=list(BUDGET_TITLES.items()),
        initial=BudgetKind.WORK.value,
        help_text="The same work gives the same value on any machine; seconds on the clock also "
        "measure what else the machine does.",
    )
    work_amount = forms.FloatField(required=False, label="Work per task", initial=60)
    work_unit = forms.ChoiceField(required=False, label="Unit of work")
    time_budget_seconds = forms.FloatField(
        required=False,
        label="Budget per task (seconds)",
        min_value=MIN_BUDGET_SECONDS,
        max_value=MAX_BUDGET_SECONDS,
        initial=10,
        help_text="Training stops at 90 % of the budget. A run is killed 15 s after it.",
    )
    base_seed = forms.IntegerField(
        min_value=0,
        max_value=MAX_SEED,
        initial=42,
        help_text="Every config runs on this seed first; further seeds follow from it. The same "
        "base seed samples the same configs.",
    )
    sampler = forms.ChoiceField()
    max_failed_attempts = forms.IntegerField(
        label="Failures per task",
        min_value=1,
        max_value=MAX_TRIES,
        initial=2,
        help_text="A task fails after this many failed runs.",
    )
    max_lost_attempts = forms.IntegerField(
        label="Losses per task",
        min_value=1,
        max_value=MAX_TRIES,
        initial=5,
        help_text="Runs whose worker went silent. They are counted separately.",
    )
    search_space = forms.CharField(
        required=False,
        label="Search space",
        widget=forms.Textarea(attrs={"rows": 20, "class": "code", "spellcheck": "false"}),
        help_text="JSON: parameters in drawing order (float, int, choice) and constraints.",
    )
    description = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 2}), help_text="Optional notes."
    )
    allow_simulated = forms.BooleanField(
        required=False,
        label="Also hand tasks to workers without torch",
        help_text="They return invented numbers, which are marked and never ranked.",
    )
    script = forms.ChoiceField(
        required=False,
        help_text="With an uploaded script, the tasks wait until an operator has approved it.",
    )
    required_isolation = forms.ChoiceField(
        required=False,
        label="Isolation",
        choices=[(tier.value, ISOLATION_TITLES[tier]) for tier in IsolationTier],
        initial=IsolationTier.T0.value,
        help_text="Workers that isolate scripts less well get none of these tasks.",
    )
    races_automatically = forms.TypedChoiceField(
        required=False,
        label="Race of the best",
        choices=[("", "from 30 tasks on"), ("True", "by itself"), ("False", "only by hand")],
        coerce=lambda text: text == "True",
        empty_value=None,
        help_text="When all have run, the best race on fresh seeds. Of 30 tasks or more, three "
        "tenths (48 at most) are kept for that.",
    )
    min_effect = forms.FloatField(
        required=False,
        label="Smallest difference that matters",
        min_value=0,
        max_value=MAX_MIN_EFFECT,
        initial=MIN_EFFECT,
        help_text="In the metric's unit. A race is a tie when the first two are surely nearer.",
    )
    race_seeds = forms.IntegerField(
        required=False,
        label="Seeds of a race by hand",
        min_value=FEWEST_COMMON,
        max_value=MAX_RACE_SEEDS,
        initial=SEEDS,
        help_text=f"Of each arm, at most. A race by itself has {SEEDS}.",
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        editor: SpaceEditor | None = None,
        as_json: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(data, **kwargs)
        experiments = catalog.all()
        first = experiments[0]
        self.editor = editor or SpaceEditor()
        self.as_json = as_json
        self._choices(
            "experiment", [(experiment.name, experiment.title) for experiment in experiments]
        )
        self._choices("dataset", _dataset_choices())
        self._choices("script", _script_choices())
        self._choices("sampler", [(name, SAMPLER_TITLES.get(name, name)) for name in SAMPLERS])
        self.fields["experiment"].initial = first.name
        self.fields["dataset"].initial = first.datasets[0]
        self.fields["sampler"].initial = "random"
        self.fields["search_space"].initial = space_text(first.default_search_space)
        # Computed when it is needed: it asks for the speed of the workers.
        self._choices("work_unit", lambda: self._units)
        self.fields["work_unit"].initial = lambda: self._units[0][0]
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"help_{name}"

    @cached_property
    def now(self) -> dt.datetime:
        """The database's time, read once for all that the form and its preview ask."""
        return database_now()

    @cached_property
    def _units(self) -> list[tuple[str, str]]:
        """Return the units of work; seconds only if the script says what a step costs."""
        script = str(self["script"].value() or "")
        experiment = str(self["experiment"].value() or catalog.all()[0].name)
        origin = origin_of_seconds(experiment, script, now=self.now)
        units = [(unit.value, unit.label.lower()) for unit in WorkUnit]
        if origin:
            return [(WorkUnit.SECONDS.value, f"seconds on {origin}"), *units[1:]]
        # What was chosen is refused with a sentence that says why.
        return units if self.is_bound else units[1:]

    @classmethod
    def from_post(cls, data: Any) -> CampaignForm:
        """Read a posted form. Without rows the search space is JSON, as programs post it."""
        if data.get("space_mode") != "rows":
            return cls(data)
        return cls(data, editor=SpaceEditor.from_post(data), as_json=False)

    @classmethod
    def starting_with(cls, values: dict[str, Any]) -> CampaignForm:
        """Return a form to fill in. `values` replace the defaults; `search_space` is JSON data."""
        values.setdefault("name", _usual_name(str(values.get("experiment") or "")))
        space = values.pop("search_space", catalog.all()[0].default_search_space)
        editor = SpaceEditor.from_space(space)
        values["search_space"] = space_text(space)
        return cls(initial=values, editor=editor, as_json=False)

    def typed(self) -> dict[str, Any]:
        """Return the contents of the fields, valid or not."""
        return {name: self[name].value() for name in self.fields}

    def _choices(
        self, name: str, choices: list[tuple[str, str]] | Callable[[], list[tuple[str, str]]]
    ) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - tells the type checker
        field.choices = choices

    def clean_budget_kind(self) -> str:
        # A program that names no kind means a time budget, as over the API.
        return self.cleaned_data["budget_kind"] or BudgetKind.TIME.value

    def clean(self) -> dict[str, Any]:
        """Leave out the fields of the kind of budget that was not chosen."""
        cleaned: dict[str, Any] = self.cleaned_data
        if cleaned.get("budget_kind") == BudgetKind.WORK:
            unused: dict[str, Any] = {"time_budget_seconds": None}
            needed = "work_amount"
        else:
            unused = {"work_amount": None, "work_unit": ""}
            needed = "time_budget_seconds"
        for name in unused:
            self.errors.pop(name, None)
        if cleaned.get(needed) is None and needed not in self.errors:
            self.add_error(needed, "This field is required.")
        return cleaned | unused

    def clean_required_isolation(self) -> str:
        return self.cleaned_data["required_isolation"] or IsolationTier.T0.value

    def clean_min_effect(self) -> float:
        effect: float | None = self.cleaned_data["min_effect"]
        return MIN_EFFECT if effect is None else effect

    def clean_race_seeds(self) -> int:
        seeds: int | None = self.cleaned_data["race_seeds"]
        return SEEDS if seeds is None else seeds

    def clean_search_space(self) -> dict[str, Any]:
        try:
            text = self.cleaned_data["search_space"]
            body = read_json(text) if self.as_json else self.editor.to_json()
        except UnreadableSpace as error:
            raise forms.ValidationError(str(error)) from error
        try:
            return SearchSpace.parse(body).to_json()
        except InvalidSearchSpace as error:
            if self.as_json:
                sentences = error.sentences(whole="The search space")
                raise forms.ValidationError([f"{sentence}." for sentence in sentences]) from error
            self.editor.place_errors(error.errors)
            raise forms.ValidationError(
                "The search space is not complete: see the marked rows."
            ) from error

    def spec(self) -> CampaignSpec:
        """Return the data of a valid form. The form and the spec have the same field names."""
        return CampaignSpec(**self.cleaned_data)


def values_of(campaign: Campaign) -> dict[str, Any]:
    """Return the form's values of an existing campaign, for a clone."""
    spec = spec_of(campaign)
    catalog_names = {dataset.sha256: dataset.name for dataset in catalog.all_datasets()}
    values = {name: getattr(spec, name) for name in CampaignForm.base_fields}
    for name in ("time_budget_seconds", "work_amount"):
        # The kind of budget that the campaign does not have comes as in an empty form.
        amount = values.pop(name)
        values |= {} if amount is None else {name: f"{amount:.12g}"}
    if not values["work_unit"]:
        del values["work_unit"]
    return values | {
        "dataset": catalog_names.get(spec.dataset, spec.dataset),
        "races_automatically": (
            "" if spec.races_automatically is None else str(spec.races_automatically)
        ),
    }


def space_text(space: dict[str, Any]) -> str:
    """Return a search space as JSON text for people, with one parameter per line."""
    parameters = ",\n".join(f"    {json.dumps(parameter)}" for parameter in space["parameters"])
    constraints = json.dumps(space.get("constraints", []))
    return f'{{\n  "parameters": [\n{parameters}\n  ],\n  "constraints": {constraints}\n}}'


def _usual_name(experiment: str) -> str:
    """Return a name that will do until somebody has a better one: what is run, and on which day."""
    title = catalog.get(experiment).title if experiment else catalog.all()[0].title
    now = database_now()
    return f"{title}, {now.day} {now:%B}"


def _dataset_choices() -> list[tuple[str, str]]:
    known = [(dataset.name, dataset.title) for dataset in catalog.all_datasets()]
    hashes = [dataset.sha256 for dataset in catalog.all_datasets()]
    stored = Dataset.objects.exclude(sha256__in=hashes).order_by("name")
    # The value is the hash, because several stored data sets may have the same name.
    return known + [(dataset.sha256, str(dataset)) for dataset in stored]


def _script_choices() -> list[tuple[str, str]]:
    uploaded = [
        (script.sha256, str(script) if script.may_run else f"{script}, {script.standing}")
        for script in script_steering.uploaded()
    ]
    return [("", "the experiment's own"), *uploaded]
