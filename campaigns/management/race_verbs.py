"""The verbs of races in `manage.py campaign`: race, races, decisions, differences and plan."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import Serializer

from campaigns import steering
from campaigns.answers import race as answers
from campaigns.answers.refusals import refusal_text
from campaigns.clock import database_now
from campaigns.management.lookup import campaign_or_error
from campaigns.models import RaceOutcome
from campaigns.race.rows import MIN_EFFECT
from campaigns.serializers.campaigns import RaceOptionsSerializer
from campaigns.serializers.races import PlanQuestionSerializer, StartRaceSerializer
from campaigns.standings.race_strips import races_of
from experiments.metrics import MetricSpec
from xeenet_site.web.plain_text import plain
from xeenet_site.web.strict_json import strict_dumps

MIN_EFFECT_HELP: Final = f"a race is a tie once the gap is surely smaller (default {MIN_EFFECT})"


def add_race_verbs(verbs: Any, numbered: Callable[[ArgumentParser], ArgumentParser]) -> None:
    """Add the verbs to a command's subparsers; `numbered` adds the campaign's number to one."""
    command = numbered(verbs.add_parser("race", help="let arms race on seeds new to all of them"))
    command.add_argument(
        "--arms", type=_numbers, required=True, metavar="N,N", help="numbers of 2 to 100 arms"
    )
    command.add_argument("--seeds", type=int, help="seeds for each arm (default: the campaign's)")
    command.add_argument(
        "--min-effect",
        type=float,
        metavar="D",
        help="a tie once the gap is surely smaller (default: the campaign's)",
    )
    command = numbered(verbs.add_parser("race-options", help="choose how its arms race"))
    command.add_argument(
        "--race", action=BooleanOptionalAction, help="let the best race when all have run"
    )
    command.add_argument("--min-effect", type=float, metavar="D", help=MIN_EFFECT_HELP)
    for verb, text in (
        ("races", "list its races, the newest first"),
        ("decisions", "print what each look of its races decided, the latest first"),
    ):
        _or_json(numbered(verbs.add_parser(verb, help=text)))
    command = _or_json(
        numbered(verbs.add_parser("differences", help="print every paired difference of a race"))
    )
    command.add_argument("--race", type=int, metavar="N", help="its number (default: the latest)")
    command = _or_json(numbered(verbs.add_parser("plan", help="what a race takes to find a gap")))
    command.add_argument(
        "--delta", type=float, required=True, metavar="D", help="the true gap between two arms"
    )
    command.add_argument("--power", type=float, metavar="P", help="how surely (default 0.8)")


class RaceVerbs(BaseCommand):
    """What the verbs of `add_race_verbs` do, each with the parsed options."""

    def race(self, options: dict[str, Any]) -> None:
        """Start a race."""
        campaign = campaign_or_error(options["campaign"])
        race = steering.start_race(
            None, campaign, now=database_now(), **_checked(StartRaceSerializer, options)
        )
        self.stdout.write(_race_line(answers.race_detail(race.pk)))

    def race_options(self, options: dict[str, Any]) -> None:
        """Choose whether a race begins by itself, and the smallest difference that matters."""
        campaign = campaign_or_error(options["campaign"])
        given = {"races_automatically": options["race"], "min_effect": options["min_effect"]}
        chosen = _checked(RaceOptionsSerializer, given)
        steering.set_race_options(None, campaign, now=database_now(), **chosen)
        begins = "by itself" if campaign.races_automatically else "only by hand"
        self.stdout.write(
            f"Campaign {campaign.pk}: a race begins {begins}; smallest difference that matters "
            f"{campaign.min_effect:g}."
        )

    def races(self, options: dict[str, Any]) -> None:
        """Print a line for each race."""
        rows = answers.races_of(campaign_or_error(options["campaign"]))
        if options["json"]:
            self.stdout.write(strict_dumps(rows, indent=2))
            return
        for row in rows:
            self.stdout.write(_race_line(row))

    def decisions(self, options: dict[str, Any]) -> None:
        """Print a line for each decision; as JSON with all that it saw."""
        campaign = campaign_or_error(options["campaign"])
        if options["json"]:
            self.stdout.write(strict_dumps(answers.decision_details_of(campaign), indent=2))
            return
        for row in answers.decisions_of(campaign):
            self.stdout.write(_decision_line(row))

    def differences(self, options: dict[str, Any]) -> None:
        """Print a line for each arm of a race: its standing, and its differences seed by seed."""
        campaign = campaign_or_error(options["campaign"])
        known = [line.number for line in races_of(campaign)]
        number = options["race"] or next(iter(known), None)
        if number not in known:
            listed = f"only: {_listed(known)}" if known else "none"
            raise CommandError(f"The campaign has no such race; it has {listed}.")
        data = answers.differences_of(campaign, number)
        if options["json"]:
            self.stdout.write(strict_dumps(data, indent=2))
            return
        self.stdout.write(data["verdict"])
        self.stdout.write(f"Less arm {data['compared_with']}, in {data['unit']}:")
        for arm in data["arms"]:
            self.stdout.write(_differences_line(arm, campaign.metric_spec))

    def plan(self, options: dict[str, Any]) -> None:
        """Print what a race takes to find a gap."""
        question = _checked(PlanQuestionSerializer, options)
        campaign = campaign_or_error(options["campaign"])
        plan = answers.plan_data(campaign, **question, now=database_now())
        if options["json"]:
            self.stdout.write(strict_dumps(plan, indent=2))
            return
        for line in _plan_lines(plan):
            self.stdout.write(line)


def _or_json(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise ArgumentTypeError(
            f"{plain(text[:100])} is no list of numbers such as 0,4,7"
        ) from error


def _checked(body: type[Serializer[Any]], options: dict[str, Any]) -> dict[str, Any]:
    """Return the given options, checked like a body of the API. Raises CommandError."""
    names = body().get_fields()
    given = {name: options[name] for name in names if options[name] is not None}
    serializer = body(data=given)
    try:
        serializer.is_valid(raise_exception=True)
    except ValidationError as error:
        raise CommandError(refusal_text(error)) from error
    fields: dict[str, Any] = serializer.validated_data
    return fields


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _race_line(race: dict[str, Any]) -> str:
    """Return a line such as "race 1: running, arms 0, 4, on up to 12 seeds, 6 runs"."""
    return (
        f"race {race['number']}: {race['outcome'] or 'running'}, arms {_listed(race['arms'])}, "
        f"on up to {len(race['seeds'])} seeds, {race['runs']:,} runs"
    )


def _decision_line(decision: dict[str, Any]) -> str:
    """Return a line on a decision: race, look, outcome, leader, nearest rival, reason, the rest."""
    outcome = decision["outcome"] or "goes on"
    if outcome == RaceOutcome.TIE:
        # Beside the leader alone a tie would read like a winner.
        outcome += f" of arms {_listed(sorted(decision['group']))}"
    parts = [f"race {decision['race']}, look {decision['look']}: {outcome}"]
    if decision["leader"] is not None:
        parts.append(f"leader arm {decision['leader']}")
    if decision["rival"] is not None:
        parts.append(_rival(decision))
    parts.append(plain(decision["why"]))
    for name in ("behind", "dropped", "infeasible"):
        if decision[name]:
            parts.append(f"{name}: {_listed(decision[name])}")
    if decision["seeds_to_separate"] is not None:
        parts.append(f"{decision['seeds_to_separate']:,} seeds would separate the first two")
    return "; ".join(parts)


def _rival(decision: dict[str, Any]) -> str:
    rival = f"nearest arm {decision['rival']}"
    if decision["estimate"] is None:
        return f"{rival}, with too few common seeds ({decision['n']})"
    bound = "unknown noise" if decision["bound"] is None else f"bound {decision['bound']:.4f}"
    return f"{rival}, {decision['estimate']:.4f} behind on {decision['n']} seeds ({bound})"


def _differences_line(arm: dict[str, Any], spec: MetricSpec) -> str:
    """Return a line such as "arm 4 (behind): s1 +0.0312, s2 missing; look 1 +0.0312 ± 0.0210"."""
    cells = [
        f"s{cell['seed_index']} "
        + (cell["state"] if cell["difference"] is None else spec.difference(cell["difference"], 0))
        for cell in arm["differences"]
    ]
    looks = [
        f"look {look['look']} {spec.difference(look['median'], 0)}"
        + (f" ± {spec.text(look['bound'])}" if look["bound"] is not None else "")
        for look in arm["looks"]
        if look["median"] is not None
    ]
    return f"arm {arm['arm']} ({arm['standing']}): {'; '.join([', '.join(cells), *looks])}"


def _plan_lines(plan: dict[str, Any]) -> list[str]:
    """Return the plan as sentences."""
    lines = [plan["sentence"]]
    if plan["chance"] is not None:
        lines.append(
            f"A race with {plan['default_seeds']} seeds finds it with a chance of "
            f"{plan['chance']:.0%}."
        )
        if not plan["assumed"]:
            lines.append(
                f"The noise is {plan['sigma']:.4g} (s.d.), from {plan['pairs']:,} replicate pairs."
            )
    return [*lines, *([plan["why"]] if plan["why"] else [])]
