"""What is known of the noise before a campaign has shown it: elsewhere, or in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaigns.caching import cached_by_revision
from campaigns.lifecycle.classes import budget_words
from campaigns.models import Campaign, NoiseFloor
from campaigns.race.rows import MIN_SIGMA, NO_FLOOR, Floor
from campaigns.standings.noise import noise_floor
from experiments import catalog
from experiments.metrics import MetricSpec


@dataclass(frozen=True)
class Assumed:
    """A noise floor; `source` says where it is from unless the campaign's own class has it."""

    floor: Floor = NO_FLOOR
    source: str = ""


def noise_of(campaign: Campaign) -> Assumed:
    """Return the floor of the campaign's class, else of one like it, else what is recorded."""
    own: Floor = cached_by_revision(campaign, "noise_floor", lambda: noise_floor(campaign))
    return Assumed(own) if own.sd is not None else _elsewhere(campaign, campaign.metric_spec)


def noise_of_new(values: Mapping[str, Any]) -> Assumed:
    """Return what may be assumed of a campaign with these checked fields of a `CampaignSpec`."""
    experiment = catalog.get(values["experiment"])
    names = {known.name: known.sha256 for known in catalog.all_datasets()}
    dataset = values.get("dataset") or experiment.datasets[0]
    draft = Campaign(
        experiment=experiment.name,
        package_id=values.get("package")
        or values.get("script")
        or catalog.script_sha256(experiment.name),
        dataset_id=names.get(dataset, dataset),
        budget_kind=values["budget_kind"],
        time_budget_seconds=values.get("time_budget_seconds") or 0.0,
        work_unit=values.get("work_unit") or "",
        work_amount=values.get("work_amount"),
    )
    return _elsewhere(draft, experiment.metric_spec)


def _elsewhere(campaign: Campaign, spec: MetricSpec) -> Assumed:
    """Return the floor of the best known class with its script, data and budget, else recorded."""
    floors = NoiseFloor.objects.filter(
        sd__isnull=False,
        result_class__package=campaign.package_id,
        result_class__dataset=campaign.dataset_id,
        result_class__metric=spec.name,
        result_class__metric_version=spec.version,
        result_class__budget_kind=campaign.budget_kind,
        result_class__budget=budget_words(campaign),
        result_class__eval_is_subset=False,
    )
    known = floors.select_related("result_class__band").order_by("-pairs", "pk").first()
    if known is not None and known.sd is not None:
        words = f"the noise of the class “{known.result_class}” in other campaigns"
        return Assumed(
            Floor(known.sd, known.pairs), f"{words}: s.d. {max(MIN_SIGMA, known.sd):.3g}"
        )
    try:
        noise = catalog.get(campaign.experiment).seed_noise
    except catalog.UnknownExperiment:
        return Assumed()
    if noise is None:
        return Assumed()
    words = f"the noise that the catalog records ({noise.recorded_on}): s.d. {noise.sd:.3g}"
    return Assumed(Floor(noise.sd, noise.pairs), words)
