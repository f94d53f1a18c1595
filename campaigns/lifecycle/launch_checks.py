"""What would keep a campaign's script from running at all, seen before the launch.

A script that refuses its config does so in every task: each worker fetches it, starts it, and pays
with a failure. So the launch is refused with what to change.
"""

from __future__ import annotations

from typing import Final

from campaigns.models import Campaign, CampaignState
from campaigns.search.parameters import ChoiceParameter, IntParameter
from campaigns.search.space import SearchSpace
from experiments import catalog

CONTEXT: Final = "context_length"
Problems = dict[str, list[str]]


def launch_problems(campaign: Campaign) -> Problems:
    """Return why no task of a draft could run, as sentences by field; {} when tasks can run."""
    dataset = campaign.dataset
    return fit_problems(
        SearchSpace.stored(campaign.search_space),
        campaign.experiment,
        dataset=dataset.name,
        dataset_bytes=dataset.size_bytes,
        is_uploaded=campaign.package.is_uploaded,
    )


def fit_problems(
    space: SearchSpace,
    experiment_name: str,
    *,
    dataset: str,
    dataset_bytes: int | None,
    is_uploaded: bool,
) -> Problems:
    """Return why a script of the experiment would refuse every config or the data, by field.

    The params of an uploaded script are its own; only its warnings name them (`param_warnings`).
    """
    try:
        experiment = catalog.get(experiment_name)
    except catalog.UnknownExperiment:
        # A draft may be older than the removal of its experiment from the catalog.
        return {}
    problems: Problems = {}
    unknown = [name for name in space.parameters if name not in experiment.known_params]
    if unknown and not is_uploaded:
        sentence = (
            f"The script of {experiment.name} does not know {', '.join(unknown)}, and would refuse "
            "to run. Remove what it does not know, or choose an uploaded script that reads it. "
            f"Known are: {', '.join(experiment.known_params)}."
        )
        problems["search_space"] = [sentence]
    largest = _largest(space, CONTEXT)
    longest = None if dataset_bytes is None else experiment.longest_context(dataset_bytes)
    if longest is not None and (longest == 0 or (largest or 0) > longest):
        problems["dataset"] = [_too_short(dataset, dataset_bytes or 0, largest, longest)]
    return problems


def param_warnings(space: SearchSpace, experiment_name: str) -> list[str]:
    """Return where the params differ from the experiment's: its script may refuse to run."""
    try:
        experiment = catalog.get(experiment_name)
    except catalog.UnknownExperiment:
        return []
    own = [parameter["name"] for parameter in experiment.default_search_space["parameters"]]
    missing = [name for name in own if name not in space.parameters]
    unknown = [name for name in space.parameters if name not in experiment.known_params]
    warnings = []
    if missing:
        warnings.append(f"Missing from the experiment's own space: {', '.join(missing)}.")
    if unknown:
        warnings.append(f"Not in the experiment's own space: {', '.join(unknown)}.")
    if warnings:
        warnings.append(
            "A script may refuse to run without what it needs, or with what it does not know."
        )
    return warnings


def campaign_warnings(campaign: Campaign) -> list[str]:
    """Return what to look at in a campaign; of a draft also why its launch would be refused."""
    is_draft = campaign.state == CampaignState.DRAFT
    refusals = refusal_sentences(launch_problems(campaign)) if is_draft else []
    space = SearchSpace.stored(campaign.search_space)
    return refusals + param_warnings(space, campaign.experiment)


def refusal_sentences(problems: Problems) -> list[str]:
    """Return the problems as sentences for people who have not launched yet."""
    return [
        f"It cannot be launched. {sentence}"
        for sentences in problems.values()
        for sentence in sentences
    ]


def _largest(space: SearchSpace, name: str) -> float | None:
    """Return the largest number that a param can be; None without such a param."""
    match space.parameters.get(name):
        case IntParameter() as parameter:
            return parameter.high
        case ChoiceParameter() as parameter:
            alone = [constraint for constraint in space.constraints if constraint.names == {name}]
            return max(
                (
                    value
                    for value in parameter.values
                    if isinstance(value, int | float)
                    and all(constraint.holds({name: value}) for constraint in alone)
                ),
                default=None,
            )
    return None


def _too_short(dataset: str, dataset_bytes: int, largest: float | None, longest: int) -> str:
    if not longest:
        return (
            f"{dataset} has {dataset_bytes:,} bytes, too few to hold a part back for validation. "
            "Choose a larger data set."
        )
    needed = int(largest or 0) * catalog.CONTEXTS_PER_DATASET
    return (
        f"{dataset} has {dataset_bytes:,} bytes, too few for a {CONTEXT} of {largest:g}: it "
        f"needs at least {needed:,}. Choose a larger data set, or a {CONTEXT} of at most "
        f"{longest:,}."
    )
