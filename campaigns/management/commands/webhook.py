"""List and change webhooks: a verb for each operation of the API."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError

from campaigns.clock import database_now
from campaigns.management.lookup import campaign_or_error, user_or_error
from campaigns.models import DeliveryState, Webhook, WebhookDelivery, WebhookEvent
from campaigns.notifications import hooks
from campaigns.notifications.addresses import AddressRefused, NameUnknown
from xeenet_site.web.plain_text import plain


class Command(BaseCommand):
    """`manage.py webhook VERB`."""

    help = "List, make, edit, switch, test and delete webhooks, and read their deliveries."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        command = verbs.add_parser("list", help="list all webhooks, the newest first")
        command.add_argument("--owner", metavar="USERNAME")
        command = verbs.add_parser("create", help="make a webhook; its secret is shown only once")
        command.add_argument("owner", metavar="USERNAME")
        command.add_argument("url")
        _selection(command, required=True)
        command = _webhook(
            verbs.add_parser("edit", help="change the given settings; the secret stays")
        )
        command.add_argument("--url")
        _selection(command, required=False)
        for verb, text in (
            ("enable", "send events again, and those that waited"),
            ("disable", "send nothing until it is enabled"),
            ("test", "send a test within a minute"),
            ("delete", "delete it with its log"),
        ):
            _webhook(verbs.add_parser(verb, help=text))
        command = _webhook(
            verbs.add_parser("deliveries", help="list its deliveries, the latest first")
        )
        command.add_argument("--state", choices=DeliveryState.values)
        command.add_argument("--event", choices=WebhookEvent.values)
        command.add_argument("--limit", type=int, default=50)
        command = verbs.add_parser("send-again", help="send a delivery again now")
        command.add_argument("delivery", type=int)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            getattr(self, options["verb"].replace("-", "_"))(options)
        except (AddressRefused, NameUnknown, PermissionDenied, hooks.TooManyWebhooks) as error:
            raise CommandError(str(error)) from error

    def list(self, options: dict[str, Any]) -> None:
        """Print a line for each webhook."""
        listed = Webhook.objects.select_related("owner").order_by("-pk")
        if options["owner"]:
            listed = listed.filter(owner=user_or_error(options["owner"]))
        for hook in listed:
            self._say(hook)

    def create(self, options: dict[str, Any]) -> None:
        """Make a webhook for a person."""
        number = options["campaign"]
        hook = hooks.create(
            user_or_error(options["owner"]),
            options["url"],
            [WebhookEvent(event) for event in options["event"]],
            campaign=campaign_or_error(number) if number else None,
            now=database_now(),
            by_command_line=True,
        )
        self._say(hook)
        self.stderr.write("Its secret, which signs each delivery. It is shown only once:")
        self.stdout.write(hook.secret)

    def edit(self, options: dict[str, Any]) -> None:
        """Change the given settings; campaign 0 means all campaigns."""
        hook, number = _webhook_or_error(options["webhook"]), options["campaign"]
        campaign = hook.campaign
        if number is not None:
            campaign = campaign_or_error(number) if number else None
        hooks.edit(
            None,
            hook,
            url=options["url"] or hook.url,
            events=[WebhookEvent(event) for event in options["event"] or hook.events],
            campaign=campaign,
            now=database_now(),
        )
        self._say(hook)

    def enable(self, options: dict[str, Any]) -> None:
        """Switch it on."""
        self._change(hooks.enable, options)

    def disable(self, options: dict[str, Any]) -> None:
        """Switch it off."""
        self._change(hooks.disable, options)

    def test(self, options: dict[str, Any]) -> None:
        """Send a test."""
        self._change(hooks.send_test, options)

    def delete(self, options: dict[str, Any]) -> None:
        """Delete it with its log."""
        hook = _webhook_or_error(options["webhook"])
        hooks.delete(None, hook, now=database_now())
        self.stdout.write(f"Webhook {options['webhook']} and its log are deleted.")

    def deliveries(self, options: dict[str, Any]) -> None:
        """Print a line for each delivery."""
        wanted = {name: options[name] for name in ("state", "event") if options[name]}
        deliveries = _webhook_or_error(options["webhook"]).deliveries.filter(**wanted)
        for delivery in deliveries[: max(1, options["limit"])]:
            self._say_delivery(delivery)

    def send_again(self, options: dict[str, Any]) -> None:
        """Send a delivery again now, with the full number of tries."""
        deliveries = WebhookDelivery.objects.select_related("webhook")
        delivery = deliveries.filter(pk=options["delivery"]).first()
        if delivery is None:
            raise CommandError(f"There is no delivery {options['delivery']}.")
        hooks.send_again(None, delivery, now=database_now())
        delivery.refresh_from_db()
        self._say_delivery(delivery)

    def _change(self, verb: Any, options: dict[str, Any]) -> None:
        verb(None, _webhook_or_error(options["webhook"]), now=database_now())
        self._say(_webhook_or_error(options["webhook"]))

    def _say(self, hook: Webhook) -> None:
        state = "on" if hook.is_active else "off"
        about = f"campaign {hook.campaign_id}" if hook.campaign_id else "every campaign"
        self.stdout.write(
            f"Webhook {hook.pk} of {hook.owner} is {state}: {', '.join(hook.events)} of {about} "
            f"to {plain(hook.url)}"
        )

    def _say_delivery(self, delivery: WebhookDelivery) -> None:
        error = f": {plain(delivery.last_error)}" if delivery.last_error else ""
        self.stdout.write(
            f"Delivery {delivery.pk} of {delivery.created_at:%Y-%m-%d %H:%M:%S}, "
            f"{delivery.event}, is {delivery.state} after {delivery.attempts} tries{error}"
        )


def _webhook(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("webhook", type=int, help="number of the webhook")
    return parser


def _selection(parser: ArgumentParser, *, required: bool) -> None:
    """Add the arguments for the events and the campaign that a webhook is about."""
    parser.add_argument(
        "--event",
        action="append",
        choices=WebhookEvent.values,
        required=required,
        help="an event to send; repeat the option for several",
    )
    parser.add_argument(
        "--campaign", type=int, help="only events of this campaign (edit: 0 means all campaigns)"
    )


def _webhook_or_error(number: int) -> Webhook:
    hook = Webhook.objects.select_related("owner", "campaign").filter(pk=number).first()
    if hook is None:
        raise CommandError(f"There is no webhook {number}.")
    return hook
