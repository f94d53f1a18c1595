"""The pages of webhooks: the list with its form, one webhook with its log, its form, its verbs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from campaigns.clock import database_now
from campaigns.models import Campaign, DeliveryState, Webhook, WebhookDelivery, WebhookEvent
from campaigns.notifications import hooks
from campaigns.notifications.addresses import AddressRefused, NameUnknown
from campaigns.notifications.delivery import MAX_TRIES, SIGNATURE_HEADER
from xeenet_site.web import roles
from xeenet_site.web.pages import page_or_fragment, signed_in, signed_in_user
from xeenet_site.web.verbs import Verb

DELIVERIES_PER_PAGE = 30

EVENTS = {
    WebhookEvent.NEW_BEST: (
        "New lead",
        "A measured result takes the lead of its campaign. One seed proves nothing.",
    ),
    WebhookEvent.DECIDED: (
        "Race decided",
        "A race between arms ended: with a champion, a tie, or no arm that runs.",
    ),
    WebhookEvent.CAMPAIGN_FINISHED: ("Campaign finished", "Its last task and race have ended."),
    WebhookEvent.FAILURE_BURST: (
        "Failure burst",
        "A campaign paused itself: half of its last attempts failed.",
    ),
    WebhookEvent.SILENT_FLEET: ("Silent fleet", "Tasks wait, but no worker calls."),
}
WEBHOOK_VERBS = {
    "enable": Verb(hooks.enable, "Enabled: deliveries that waited are sent within a minute."),
    "disable": Verb(hooks.disable, "Disabled: nothing is sent until you enable it."),
    "test": Verb(hooks.send_test, "A test is sent within a minute."),
    "delete": Verb(hooks.delete, "The webhook and its log are deleted."),
}


class WebhookForm(forms.Form):
    """The address and the events of a webhook. `hooks` checks whether the address is allowed."""

    url = forms.URLField(
        label="Address",
        max_length=500,
        assume_scheme="https",
        help_text="It gets a POST with a JSON body for each event, and must answer 200 to 299.",
    )
    events = forms.MultipleChoiceField(
        label="Events",
        choices=[(event.value, label) for event, (label, _) in EVENTS.items()],
        initial=[event.value for event in EVENTS],
        error_messages={"required": "Choose at least one event."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["url"].widget.attrs |= {
            "aria-describedby": "help_url",
            "placeholder": "https://example.org/xeenet",
        }

    def event_boxes(self) -> list[tuple[str, str, str, bool]]:
        """Return (value, label, help text, whether it is ticked) for each event."""
        ticked = self["events"].value() or []
        return [
            (event.value, label, text, event.value in ticked)
            for event, (label, text) in EVENTS.items()
        ]


class EditWebhookForm(WebhookForm):
    """The form of an existing webhook, whose campaign can be changed too."""

    # A number instead of a menu: there may be thousands of campaigns.
    campaign = forms.ModelChoiceField(
        Campaign.objects,
        required=False,
        widget=forms.NumberInput(attrs={"aria-describedby": "help_campaign", "min": 1}),
        help_text="The number of the only campaign whose events are sent. Empty: all campaigns.",
        error_messages={"invalid_choice": "There is no campaign %(value)s."},
    )


@signed_in
@never_cache
def webhook_list(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """List the webhooks that the person may change, with a form for a new one.

    POST makes a webhook and shows its secret once. With `pk`, the list has only the webhooks that
    get events of this campaign, and the form makes a webhook for this campaign only.
    """
    user = signed_in_user(request)
    campaign = get_object_or_404(Campaign, pk=pk) if pk is not None else None
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        chosen = [WebhookEvent(event) for event in form.cleaned_data["events"]]
        try:
            created = hooks.create(
                user, form.cleaned_data["url"], chosen, campaign=campaign, now=database_now()
            )
        except (AddressRefused, NameUnknown) as error:
            form.add_error("url", str(error))
        except hooks.TooManyWebhooks as error:
            form.add_error(None, str(error))
        else:
            context = {"webhook": created, "header": SIGNATURE_HEADER}
            return render(request, "campaigns/webhook_created.html", context)
    context = {
        "campaign": campaign,
        "form": form,
        "webhooks": [(hook, _labels(hook)) for hook in _listed(user, campaign)],
        "limit": hooks.MAX_PER_OWNER,
        "now": database_now(),
    }
    status = 422 if form.is_bound else 200
    return render(request, "campaigns/webhooks.html", context, status=status)


def _listed(user: User, campaign: Campaign | None) -> QuerySet[Webhook]:
    """Return the webhooks to list, with their `failed` and `waiting` deliveries counted.

    `latest` and `latest_at` are the state and the time of the latest delivery.
    """
    webhooks = Webhook.objects.select_related("owner", "campaign")
    if not roles.may_operate(user):
        webhooks = webhooks.filter(owner=user)
    if campaign is not None:
        webhooks = webhooks.filter(Q(campaign=None) | Q(campaign=campaign))
    latest = WebhookDelivery.objects.filter(webhook=OuterRef("pk")).order_by("-created_at", "-pk")
    return webhooks.annotate(
        failed=Count("deliveries", filter=Q(deliveries__state=DeliveryState.FAILED)),
        waiting=Count("deliveries", filter=Q(deliveries__state=DeliveryState.PENDING)),
        latest=Subquery(latest.values("state")[:1]),
        latest_at=Subquery(latest.values("created_at")[:1]),
    ).order_by("-created_at", "-pk")


def _labels(hook: Webhook) -> str:
    return ", ".join(EVENTS[WebhookEvent(event)][0].lower() for event in hook.events)


@signed_in
def webhook(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one webhook and its log. With htmx only the part that changes."""
    hook = _changeable(request, pk)
    page = Paginator(hook.deliveries.all(), DELIVERIES_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "webhook": hook,
        "events": _labels(hook),
        "page": page,
        "rows": [(row, EVENTS[WebhookEvent(row.event)][0]) for row in page.object_list],
        "max_tries": MAX_TRIES,
        "header": SIGNATURE_HEADER,
        "now": database_now(),
    }
    return page_or_fragment(request, "campaigns/webhook.html", "campaigns/_webhook.html", context)


@signed_in
def edit_webhook(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the form of a webhook. POST changes its settings; its secret and log stay."""
    hook = _changeable(request, pk)
    initial = {"url": hook.url, "events": hook.events, "campaign": hook.campaign_id}
    form = EditWebhookForm(request.POST or None, initial=initial)
    if form.is_valid():
        try:
            hooks.edit(
                signed_in_user(request),
                hook,
                url=form.cleaned_data["url"],
                events=[WebhookEvent(event) for event in form.cleaned_data["events"]],
                campaign=form.cleaned_data["campaign"],
                now=database_now(),
            )
        except (AddressRefused, NameUnknown) as error:
            form.add_error("url", str(error))
        else:
            messages.success(request, "Saved: the next delivery uses these settings.")
            return redirect("webhook", pk)
    status = 422 if form.is_bound else 200
    context = {"form": form, "webhook": hook}
    return render(request, "campaigns/webhook_edit.html", context, status=status)


@signed_in
@require_POST
def change_webhook(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Enable, disable, test or delete a webhook for its owner or an operator."""
    hook = _changeable(request, pk)
    WEBHOOK_VERBS[verb].run(signed_in_user(request), hook, now=database_now())
    messages.success(request, WEBHOOK_VERBS[verb].done)
    return redirect("webhooks") if verb == "delete" else redirect("webhook", pk)


@signed_in
@require_POST
def send_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a delivery again now, for the webhook's owner or an operator."""
    delivery = get_object_or_404(WebhookDelivery.objects.select_related("webhook"), pk=pk)
    hooks.send_again(signed_in_user(request), delivery, now=database_now())
    messages.success(request, "It is sent again within a minute.")
    return redirect("webhook", delivery.webhook_id)


def _changeable(request: HttpRequest, pk: int) -> Webhook:
    """Return the webhook. Raises PermissionDenied for anybody but its owner and operators."""
    hook = get_object_or_404(Webhook.objects.select_related("owner", "campaign"), pk=pk)
    if not hooks.may_change(request.user, hook):
        raise PermissionDenied("Only the webhook's owner and operators may see it.")
    return hook
