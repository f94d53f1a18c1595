"""List and change campaigns: a verb for each operation of the API."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError

from campaigns import history, steering
from campaigns.clock import database_now
from campaigns.design.cloning import spec_of
from campaigns.lifecycle.launch_checks import campaign_warnings
from campaigns.management.arm_verbs import ArmVerbs, add_arm_verbs
from campaigns.management.class_verbs import ClassVerbs, add_class_verbs
from campaigns.management.lookup import campaign_or_error, say_what_is_refused, user_or_error
from campaigns.management.race_verbs import RaceVerbs, add_race_verbs
from campaigns.management.share_verbs import ShareVerbs, add_share_verb
from campaigns.management.terminal import (
    attempt_line,
    change_line,
    progress_sentence,
    task_sentence,
)
from campaigns.models import (
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    FailureClass,
    TaskState,
    WorkUnit,
)
from campaigns.standings import arms, contributions
from campaigns.standings.finding import finding
from campaigns.standings.progress import campaign_progress
from campaigns.standings.summaries import with_best
from xeenet_site.web.plain_text import plain

EVENTS: Final = 100


class Command(RaceVerbs, ClassVerbs, ArmVerbs, ShareVerbs):
    """`manage.py campaign VERB`."""

    help = (
        "List campaigns; launch, pause, resume, finish, cancel, clone or grow one; let its arms "
        "race. Use create_campaign to make a campaign; leaderboard, analysis, compare and "
        "export_results to read its results; task to change a single task."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        command = verbs.add_parser("list", help="list campaigns, newest first")
        command.add_argument("--state", choices=CampaignState.values)
        command.add_argument("--experiment")
        command.add_argument("--owner", metavar="USERNAME")
        command.add_argument("--search", metavar="TEXT", help="a part of the name")
        for verb, text in (
            ("show", "print its state and progress"),
            ("launch", "make the tasks of a draft and hand them out"),
            ("resume", "hand out tasks again"),
            ("finish", "say that no outside program will ask it for tasks again"),
            ("export-space", "print its search space as JSON, for create_campaign --space"),
            ("workers", "print what each worker did for it"),
            ("log", "print what happened to it, the latest first"),
            ("journal", "print every change of state of it, its tasks and attempts, latest first"),
        ):
            _campaign(verbs.add_parser(verb, help=text))
        for verb, text in (
            ("pause", "hand out no new tasks; running tasks may finish"),
            ("cancel", "end it and its open tasks; results stay"),
        ):
            command = _campaign(verbs.add_parser(verb, help=text))
            command.add_argument("--reason", default="", help="shown to everybody")
        command = _campaign(verbs.add_parser("add-tasks", help="sample more tasks"))
        command.add_argument("count", type=int)
        command = _campaign(verbs.add_parser("enqueue", help="add one task with given params"))
        command.add_argument("params", metavar="JSON", help='such as {"lr": 0.001, "d_model": 64}')
        command.add_argument("--seed", type=int, help="default: the next seed of these params")
        add_arm_verbs(verbs, _campaign)
        command = _campaign(verbs.add_parser("raise-attempts", help="allow each task more tries"))
        command.add_argument("--failed", type=int, metavar="N", help="tries that may fail")
        command.add_argument("--lost", type=int, metavar="N", help="tries that may be lost")
        command = _campaign(verbs.add_parser("clone", help="make a draft with the same settings"))
        command.add_argument("--name", help='default: the name of the original and "(copy)"')
        command.add_argument("--tasks", type=int, dest="task_count")
        command.add_argument("--budget", type=float, dest="time_budget_seconds", metavar="SECONDS")
        command.add_argument(
            "--work", type=float, dest="work_amount", metavar="AMOUNT", help="instead of --budget"
        )
        command.add_argument("--work-unit", choices=WorkUnit.values)
        command.add_argument("--seed", type=int, dest="base_seed")
        command.add_argument("--sampler")
        command.add_argument("--owner", metavar="USERNAME")
        command = _campaign(verbs.add_parser("tasks", help="list its tasks by number"))
        command.add_argument("--state", choices=TaskState.values)
        command.add_argument("--failure-class", choices=FailureClass.values)
        command = _campaign(
            verbs.add_parser("attempts", help="list all attempts, the latest first")
        )
        command.add_argument("--outcome", choices=AttemptOutcome.values)
        command.add_argument("--failure-class", choices=FailureClass.values)
        command.add_argument("--worker", metavar="NAME")
        add_race_verbs(verbs, _campaign)
        add_class_verbs(verbs, _campaign)
        add_share_verb(verbs, _campaign)

    def handle(self, *_args: Any, **options: Any) -> None:
        with say_what_is_refused():
            getattr(self, options["verb"].replace("-", "_"))(options)

    def list(self, options: dict[str, Any]) -> None:
        """Print a line for each campaign that the options select."""
        look_ups = {
            "state": "state",
            "experiment": "experiment",
            "owner": "owner__username",
            "search": "name__icontains",
        }
        wanted = {look_ups[name]: options[name] for name in look_ups if options[name]}
        campaigns = with_best(Campaign.objects.filter(**wanted))
        if not campaigns:
            self.stdout.write("No campaign. Make one with: manage.py create_campaign")
            return
        self.stdout.write(
            f"{'number':>6}  {'state':9}  {'tasks':>7}  {'first seed':>10}  {'metric':10}  name"
        )
        for campaign in campaigns:
            spec = campaign.metric_spec
            value = "–" if campaign.best is None else spec.text(campaign.best)
            self.stdout.write(
                f"{campaign.pk:6}  {campaign.state:9}  {campaign.task_count:7,}  {value:>10}  "
                f"{spec.name:10}  {plain(campaign.name)}"
            )

    def show(self, options: dict[str, Any]) -> None:
        """Print the state and progress of a campaign."""
        self._say(campaign_or_error(options["campaign"]))

    def launch(self, options: dict[str, Any]) -> None:
        """Draft → active."""
        self._change(steering.launch, options)
        for warning in campaign_warnings(campaign_or_error(options["campaign"])):
            self.stderr.write(plain(warning))

    def resume(self, options: dict[str, Any]) -> None:
        """Paused → active."""
        self._change(steering.resume, options)

    def finish(self, options: dict[str, Any]) -> None:
        """Complete a campaign of an outside program when its tasks and race have ended."""
        self._change(steering.finish, options)

    def pause(self, options: dict[str, Any]) -> None:
        """Active → paused."""
        self._change(steering.pause, options, reason=options["reason"])

    def cancel(self, options: dict[str, Any]) -> None:
        """Draft, active or paused → cancelled."""
        self._change(steering.cancel, options, reason=options["reason"])

    def add_tasks(self, options: dict[str, Any]) -> None:
        """Sample more tasks."""
        self._change(steering.add_tasks, options, count=options["count"])

    def raise_attempts(self, options: dict[str, Any]) -> None:
        """Allow more tries; a limit that is not given stays as it is."""
        campaign = campaign_or_error(options["campaign"])
        failed, lost = options["failed"], options["lost"]
        self._change(
            steering.raise_attempts,
            options,
            max_failed_attempts=campaign.max_failed_attempts if failed is None else failed,
            max_lost_attempts=campaign.max_lost_attempts if lost is None else lost,
        )

    def enqueue(self, options: dict[str, Any]) -> None:
        """Add one task with given params."""
        campaign = campaign_or_error(options["campaign"])
        try:
            params = json.loads(options["params"])
        except ValueError as error:
            raise CommandError(f"The params are not JSON: {error}") from error
        if not isinstance(params, dict):
            raise CommandError('The params must be a JSON object like {"lr": 0.001}.')
        task = steering.enqueue(None, campaign, params, seed=options["seed"], now=database_now())
        self.stdout.write(task_sentence(task))

    def clone(self, options: dict[str, Any]) -> None:
        """Make a draft with the same settings, apart from those in the options."""
        original = campaign_or_error(options["campaign"])
        names = ["name", "task_count", "time_budget_seconds", "base_seed", "sampler"]
        names += ["work_amount", "work_unit"]
        changes = {name: options[name] for name in names if options[name] is not None}
        clone = steering.create_campaign(
            None,
            spec_of(original, **changes),
            owner=user_or_error(options["owner"]) if options["owner"] else None,
            now=database_now(),
            detail=f"clone of campaign {original.pk}",
        )
        self._say(clone)

    def export_space(self, options: dict[str, Any]) -> None:
        """Print the search space."""
        self.stdout.write(json.dumps(campaign_or_error(options["campaign"]).search_space, indent=2))

    def tasks(self, options: dict[str, Any]) -> None:
        """Print a line for each task."""
        campaign = campaign_or_error(options["campaign"])
        wanted = {name: options[name] for name in ("state", "failure_class") if options[name]}
        tasks = campaign.tasks.filter(**wanted).select_related("result").order_by("number")
        spec = campaign.metric_spec
        for task in tasks.iterator(chunk_size=1_000):
            result = getattr(task, "result", None)
            value = spec.text(result.value) if result and result.value is not None else "–"
            self.stdout.write(
                f"{task.name!s:>10}  {task.state:9}  {value:>8}  seed {task.seed}  "
                f"{task.failure_class:14} {plain(json.dumps(task.params))}"
            )

    def attempts(self, options: dict[str, Any]) -> None:
        """Print a line for each attempt."""
        campaign = campaign_or_error(options["campaign"])
        look_ups = {
            "outcome": "outcome",
            "failure_class": "failure_class",
            "worker": "worker__name",
        }
        wanted = {look_ups[name]: options[name] for name in look_ups if options[name]}
        attempts = Attempt.objects.brief().filter(task__campaign=campaign, **wanted)
        for attempt in attempts.select_related("worker", "task").order_by("-pk").iterator():
            self.stdout.write(attempt_line(attempt))

    def workers(self, options: dict[str, Any]) -> None:
        """Print a line for each worker that took a task."""
        campaign = campaign_or_error(options["campaign"])
        for row in contributions.of_workers(campaign, now=database_now()):
            value = "–" if row.best is None else row.spec.text(row.best)
            failed = ", ".join(f"{number} {name}" for name, number in row.failures.items())
            self.stdout.write(
                f"{plain(row.worker.name)}: {row.completed:,} results, {row.spec.best} {value}, "
                f"{row.running} running, {row.lost} lost{f', {failed}' if failed else ''}"
            )

    def log(self, options: dict[str, Any]) -> None:
        """Print the latest events."""
        campaign = campaign_or_error(options["campaign"])
        for event in history.events(campaign, before=None, limit=EVENTS):
            about = f" (task {event.task.name})" if event.task else ""
            detail = f": {event.detail}" if event.detail else ""
            line = f"{event.who or 'server'} {event.what}{about}{detail}"
            self.stdout.write(f"{event.at:%Y-%m-%d %H:%M:%S}  {plain(line)}")

    def journal(self, options: dict[str, Any]) -> None:
        """Print every change."""
        changes = campaign_or_error(options["campaign"]).changes.select_related("attempt", "task")
        for change in changes.order_by("-pk").iterator():
            self.stdout.write(change_line(change))

    def _change(self, verb: Any, options: dict[str, Any], **arguments: Any) -> None:
        campaign = campaign_or_error(options["campaign"])
        verb(None, campaign, now=database_now(), **arguments)
        self._say(campaign)

    def _say(self, campaign: Campaign) -> None:
        campaign.refresh_from_db()
        now = database_now()
        progress = campaign_progress(campaign, now=now)
        if first := finding(campaign, progress):
            self.stdout.write(plain(first))
        reason = f" ({plain(campaign.state_reason)})" if campaign.state_reason else ""
        self.stdout.write(
            f"Campaign {campaign.pk} {plain(campaign.name)} is {campaign.state}{reason}: "
            f"{progress_sentence(progress, arms.leading(campaign), now=now)}. "
            f"Page: {campaign.get_absolute_url()}"
        )


def _campaign(parser: ArgumentParser) -> ArgumentParser:
    """Add the campaign's number. It is required: no verb may hit the wrong campaign by default."""
    parser.add_argument("campaign", type=int, help="number of the campaign")
    return parser
