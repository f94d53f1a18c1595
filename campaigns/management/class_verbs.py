"""The verbs of what values are worth in `manage.py campaign`: classes, noise, honesty."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.answers import classes as answers
from campaigns.answers.honesty import honesty_data
from campaigns.management.lookup import campaign_or_error
from campaigns.models import Campaign
from campaigns.standings.classes import classes_of
from xeenet_site.web.plain_text import plain
from xeenet_site.web.strict_json import strict_dumps


def add_class_verbs(verbs: Any, numbered: Callable[[ArgumentParser], ArgumentParser]) -> None:
    """Add the verbs to a command's subparsers; `numbered` adds the campaign's number to one."""
    command = numbered(verbs.add_parser("classes", help="list the classes of its results"))
    command.add_argument("--json", action="store_true", help="print JSON instead of text")
    command = numbered(verbs.add_parser("noise", help="how much results vary between seeds"))
    command.add_argument(
        "--class", type=int, dest="class_id", metavar="ID", help="default: that with most results"
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of text")
    command = numbered(
        verbs.add_parser("honesty", help="what was not counted, and how noisy it is")
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of text")


class ClassVerbs(BaseCommand):
    """What the verbs of `add_class_verbs` do, each with the parsed options."""

    def classes(self, options: dict[str, Any]) -> None:
        """Print a line for each class, that with most results first."""
        rows = answers.classes_data(campaign_or_error(options["campaign"]))
        if options["json"]:
            self.stdout.write(strict_dumps(rows, indent=2))
            return
        for row in rows:
            default = " (default)" if row["is_default"] else ""
            words = plain(row["words"])
            self.stdout.write(f"class {row['id']}: {words}, {row['results']:,} results{default}")

    def noise(self, options: dict[str, Any]) -> None:
        """Print the noise floor of a class of the campaign."""
        campaign = campaign_or_error(options["campaign"])
        noise = answers.noise_data(_class_id(campaign, options["class_id"]))
        if options["json"]:
            self.stdout.write(strict_dumps(noise, indent=2))
            return
        of_class = noise["result_class"]
        self.stdout.write(f"class {of_class['id']}: {plain(of_class['words'])}")
        for line in _noise_lines(noise, campaign):
            self.stdout.write(line)

    def honesty(self, options: dict[str, Any]) -> None:
        """Print what counts, what does not and why, and what bears on the values."""
        campaign = campaign_or_error(options["campaign"])
        data = honesty_data(campaign)
        if options["json"]:
            self.stdout.write(strict_dumps(data, indent=2))
            return
        for line in _honesty_lines(data, campaign):
            self.stdout.write(plain(line))


def _honesty_lines(data: dict[str, Any], campaign: Campaign) -> Iterator[str]:
    spec = campaign.metric_spec
    left_out = data["ended"] - data["counted"]
    yield (
        f"{data['ended']:,} runs: {data['counted']:,} counted + {left_out:,} not counted; "
        f"{data['open']:,} open."
    )
    for reason in data["not_counted"]:
        yield f"  {reason['runs']:,} {reason['title']}: {reason['why']}"
    for noise in data["noise"]:
        if noise["sd"] is None:
            yield f"{noise['words']}: the noise is unknown."
            continue
        gaps = ", ".join(
            f"{spec.text(row['gap'])} with {row['seeds']}" for row in noise["visible_gaps"]
        )
        seen = f"; visible gaps by seeds: {gaps}" if gaps else ""
        yield (
            f"{noise['words']}: s.d. {spec.with_unit(noise['sd'])} from {noise['pairs']:,} "
            f"replicate pairs{seen}."
        )
    first = data["first_seeds"]
    if first["flattered_by"] is not None:
        yield (
            f"First seeds flattered the {len(first['arms'])} arms that raced by "
            f"{spec.difference(first['flattered_by'], 0.0)} on average."
        )
    disturbed = data["disturbed"]
    yield (
        f"{disturbed['runs']:,} runs disturbed, {disturbed['undisturbed']:,} not, of "
        f"{disturbed['unknown']:,} it is unknown; {data['too_slow_arms']['count']:,} arms too slow."
    )


def _class_id(campaign: Campaign, wanted: int | None) -> int:
    """Return the wanted class of the campaign, or its default. Raises CommandError."""
    known = [row.pk for row in classes_of(campaign)]
    if not known:
        raise CommandError("The campaign has no measured result yet.")
    if wanted is not None and wanted not in known:
        listed = ", ".join(map(str, known))
        raise CommandError(f"The campaign has no results in class {wanted}, only in: {listed}.")
    return known[0] if wanted is None else wanted


def _noise_lines(noise: dict[str, Any], campaign: Campaign) -> list[str]:
    if noise["sd"] is None:
        return ["No arm has results on two further seeds yet, so nothing is known of the noise."]
    sd = campaign.metric_spec.with_unit(noise["sd"])
    pairs, campaigns = noise["pairs"], noise["campaigns"]
    lines = [f"The noise is {sd} (s.d.): {pairs:,} replicate pairs, campaigns: {campaigns:,}."]
    if noise["bad_seed_rate"] is not None:
        lines.append(f"{noise['bad_seed_rate']:.1%} of the runs were far off or had no value.")
    return lines
