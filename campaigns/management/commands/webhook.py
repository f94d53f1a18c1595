"""What the API does with webhooks, on the command line."""

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

    help = "List, make, edit, switch, test and delete webhooks, and read what became of each event."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        one = verbs.add_parser("list", help="all webhooks, the last made first")
        one.add_argument("--owner", metavar="USERNAME")
        one = verbs.add_parser("create", help="make one; its secret is shown once")
        one.add_argument("owner", metavar="USERNAME")
        one.add_argument("url")
        _what(one, required=True)
        one = _webhook(verbs.add_parser("edit", help="change what is named; the secret stays"))
        one.add_argument("--url")
        _what(one, required=False)
        for verb, text in (
            ("enable", "tell it of events again; what waited is sent"),
            ("disable", "send it nothing until it is enabled"),
            ("test", "send it a delivery without news, within a minute"),
            ("delete", "remove it with its log"),
        ):
            _webhook(verbs.add_parser(verb, help=text))
        one = _webhook(verbs.add_parser("deliveries", help="what was sent, the last first"))
        one.add_argument("--state", choices=DeliveryState.values)
        one.add_argument("--event", choices=WebhookEvent.values)
        one.add_argument("--limit", type=int, default=50)
        one = verbs.add_parser("send-again", help="make a delivery due now")
        one.add_argument("delivery", type=int)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            getattr(self, options["verb"].replace("-", "_"))(options)
        except (AddressRefused, NameUnknown, PermissionDenied, hooks.TooManyWebhooks) as error:
            raise CommandError(str(error)) from error

    def list(self, options: dict[str, Any]) -> None:
        """Print a line for each."""
        found = Webhook.objects.select_related("owner").order_by("-pk")
        if options["owner"]:
            found = found.filter(owner=user_or_error(options["owner"]))
        for hook in found:
            self._say(hook)

    def create(self, options: dict[str, Any]) -> None:
        """Make one for a person."""
        number = options["campaign"]
        made = hooks.create(
            user_or_error(options["owner"]),
            options["url"],
            [WebhookEvent(event) for event in options["event"]],
            campaign=campaign_or_error(number) if number else None,
            now=database_now(),
            by_command_line=True,
        )
        self._say(made)
        self.stderr.write("Its secret, shown this once; it signs each delivery:")
        self.stdout.write(made.secret)

    def edit(self, options: dict[str, Any]) -> None:
        """Change what is named; campaign 0 is every campaign."""
        hook, number = _found(options["webhook"]), options["campaign"]
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
        """Write a delivery without news."""
        self._change(hooks.send_test, options)

    def delete(self, options: dict[str, Any]) -> None:
        """Remove it."""
        hook = _found(options["webhook"])
        hooks.delete(None, hook, now=database_now())
        self.stdout.write(f"Webhook {options['webhook']} and its log are deleted.")

    def deliveries(self, options: dict[str, Any]) -> None:
        """Print a line for each."""
        wanted = {name: options[name] for name in ("state", "event") if options[name]}
        found = _found(options["webhook"]).deliveries.filter(**wanted)
        for one in found[: max(1, options["limit"])]:
            self._say_delivery(one)

    def send_again(self, options: dict[str, Any]) -> None:
        """Make it due now, with all its tries."""
        found = WebhookDelivery.objects.select_related("webhook").filter(pk=options["delivery"])
        delivery = found.first()
        if delivery is None:
            raise CommandError(f"There is no delivery {options['delivery']}.")
        hooks.send_again(None, delivery, now=database_now())
        delivery.refresh_from_db()
        self._say_delivery(delivery)

    def _change(self, verb: Any, options: dict[str, Any]) -> None:
        verb(None, _found(options["webhook"]), now=database_now())
        self._say(_found(options["webhook"]))

    def _say(self, hook: Webhook) -> None:
        state = "on" if hook.is_active else "off"
        about = f"campaign {hook.campaign_id}" if hook.campaign_id else "every campaign"
        self.stdout.write(
            f"Webhook {hook.pk} of {hook.owner} is {state}: {', '.join(hook.events)} of {about} "
            f"to {plain(hook.url)}"
        )

    def _say_delivery(self, one: WebhookDelivery) -> None:
        error = f": {plain(one.last_error)}" if one.last_error else ""
        self.stdout.write(
            f"Delivery {one.pk} of {one.created_at:%Y-%m-%d %H:%M:%S}, {one.event}, is {one.state} "
            f"after {one.attempts} tries{error}"
        )


def _webhook(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("webhook", type=int, help="its number")
    return parser


def _what(parser: ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--event", action="append", choices=WebhookEvent.values, required=required, help="each once"
    )
    parser.add_argument("--campaign", type=int, help="only of this one (edit: 0 is every campaign)")


def _found(number: int) -> Webhook:
    hook = Webhook.objects.select_related("owner", "campaign").filter(pk=number).first()
    if hook is None:
        raise CommandError(f"There is no webhook {number}.")
    return hook
