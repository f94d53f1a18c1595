"""How lists are narrowed and cut into pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import F, FloatField, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django_filters import rest_framework as filters
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.pagination import Cursor as Position
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from campaigns.models import (
    MAX_SEED,
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    DeliveryState,
    FailureClass,
    ProgressPoint,
    Result,
    Task,
    TaskOrigin,
    TaskState,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
)
from workers.api.fields import MAX_BIGINT
from workers.models import AuditEntry, EnrolmentToken


class Cursor(CursorPagination):
    """Pages that follow one another by their `next` address, each as quick as the first.

    Nothing is counted, and a row that is added meanwhile moves no other to another page. The view
    says the order in `cursor_ordering`: one column without equals, else a page back may overlap.
    """

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
    # Of rows with equals so many can be passed over.
    offset_cutoff = 100_000

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        ordering: tuple[str, ...] = view.cursor_ordering
        return ordering

    def decode_cursor(self, request: Request) -> Position | None:
        """Read the cursor of the address; no database takes a NUL. Raises NotFound."""
        position: Position | None = super().decode_cursor(request)
        if position is not None and "\0" in str(position.position or ""):
            raise NotFound(self.invalid_cursor_message)
        return position

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any] | None:
        try:
            page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, OverflowError) as error:
            if self.cursor is None:
                raise ParseError("A value in the address is beyond all that is stored.") from error
            # Made up by hand: its position is no value of the column.
            raise NotFound(self.invalid_cursor_message) from error
        return page


# What a list of campaigns is sorted by; the page has the same columns.
CAMPAIGN_SORTS: Final = {
    "created": "id",
    "name": "name",
    "state": "state",
    "best": "",
    "tasks": "task_count",
    "experiment": "experiment",
    "budget": "time_budget_seconds",
    "owner": "",
}
# What databases hold in every time zone.
BEFORE_ALL: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
AFTER_ALL: Final = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)
IN_CALENDAR: Final = (MinValueValidator(BEFORE_ALL), MaxValueValidator(AFTER_ALL))
# Beyond every val_bpb.
NO_VALUE: Final = 1e300


# What the tasks of a campaign are sorted by.
TASK_SORTS: Final = {
    "number": "number",
    "state": "state",
    "val_bpb": "",
    "failure": "failure_class",
    "seed": "seed",
    "failures": "failed_attempts",
    "losses": "lost_attempts",
    "ended": "",
}


class SortedList:
    """Mixin of a list whose `sort` filter annotates `sort_key`: pages follow its order."""

    request: Any
    # The sorts that are an order of a column without equals, which needs no key.
    column_sorts: ClassVar[dict[str, str]]
    default_sort: ClassVar[str]
    # Among equals.
    last_order: ClassVar[str]

    @property
    def cursor_ordering(self) -> tuple[str, ...]:
        """The order asked for; the filter has judged it."""
        sort = self.request.query_params.get("sort") or self.default_sort
        sign, key = ("-", sort[1:]) if sort.startswith("-") else ("", sort)
        if key in self.column_sorts:
            return (sign + self.column_sorts[key],)
        return (f"{sign}sort_key", self.last_order)


def _sorts(keys: Iterable[str]) -> list[tuple[str, str]]:
    return [(sort, sort) for key in keys for sort in (key, f"-{key}")]


def _or_worst(expression: str, sort: str) -> Coalesce:
    """Return a number, and for none one that comes last: a page cannot begin at a null."""
    return Coalesce(
        expression, Value(-NO_VALUE if sort.startswith("-") else NO_VALUE, FloatField())
    )


class CampaignFilter(filters.FilterSet):
    """Campaigns by state, experiment, owner and a part of their name; in the order asked for."""

    state = filters.ChoiceFilter(choices=CampaignState.choices)
    experiment = filters.CharFilter()
    owner = filters.CharFilter(field_name="owner__username", help_text="A user name.")
    search = filters.CharFilter(
        field_name="name", lookup_expr="icontains", help_text="A part of the name."
    )

    sort = filters.ChoiceFilter(
        choices=_sorts(CAMPAIGN_SORTS),
        method="sorted_by",
        help_text="Default -created, the newest first. What has no value comes last either way.",
    )

    class Meta:
        model = Campaign
        fields: ClassVar = ["state", "experiment", "owner", "search", "sort"]

    def sorted_by(self, queryset: QuerySet[Campaign], name: str, sort: str) -> QuerySet[Any]:
        """Annotate `sort_key`; the pages follow its order."""
        key = sort.removeprefix("-")
        if key == "best":
            return queryset.annotate(sort_key=_or_worst("best", sort))
        if key == "owner":
            return queryset.annotate(sort_key=Coalesce("owner__username", Value("")))
        return queryset.annotate(sort_key=F(CAMPAIGN_SORTS[key]))


class TaskFilter(filters.FilterSet):
    """Tasks by state, failure class, origin, seed, and the worker; in the order asked for."""

    state = filters.ChoiceFilter(choices=TaskState.choices)
    failure_class = filters.ChoiceFilter(choices=FailureClass.choices)
    origin = filters.ChoiceFilter(choices=TaskOrigin.choices)
    seed = filters.NumberFilter(min_value=0, max_value=MAX_SEED)
    worker = filters.CharFilter(
        field_name="worker__name", help_text="The name of the worker that holds it now."
    )
    sort = filters.ChoiceFilter(
        choices=_sorts(TASK_SORTS),
        method="sorted_by",
        help_text="Default number. What has no value comes last either way.",
    )

    class Meta:
        model = Task
        fields: ClassVar = ["state", "failure_class", "origin", "seed", "worker", "sort"]

    def sorted_by(self, queryset: QuerySet[Task], name: str, sort: str) -> QuerySet[Any]:
        """Annotate `sort_key`; the pages follow its order."""
        key = sort.removeprefix("-")
        if key == "val_bpb":
            return queryset.annotate(sort_key=_or_worst("result__val_bpb", sort))
        if key == "ended":
            never = BEFORE_ALL if sort.startswith("-") else AFTER_ALL
            return queryset.annotate(sort_key=Coalesce("finished_at", Value(never)))
        return queryset.annotate(sort_key=F(TASK_SORTS[key]))


class AttemptFilter(filters.FilterSet):
    """Attempts by outcome, failure class and worker."""

    outcome = filters.ChoiceFilter(choices=AttemptOutcome.choices)
    failure_class = filters.ChoiceFilter(choices=FailureClass.choices)
    worker = filters.CharFilter(field_name="worker__name", help_text="The name of a worker.")

    class Meta:
        model = Attempt
        fields: ClassVar = ["outcome", "failure_class", "worker"]


class WorkerAttemptFilter(filters.FilterSet):
    """Attempts of one worker by outcome, failure class and campaign."""

    outcome = filters.ChoiceFilter(choices=AttemptOutcome.choices)
    failure_class = filters.ChoiceFilter(choices=FailureClass.choices)
    campaign = filters.NumberFilter(
        field_name="task__campaign_id",
        min_value=1,
        max_value=MAX_BIGINT,
        help_text="A campaign's number.",
    )

    class Meta:
        model = Attempt
        fields: ClassVar = ["outcome", "failure_class", "campaign"]


class ResultFilter(filters.FilterSet):
    """Measured results; with ``simulated=true`` also those that nobody measured."""

    simulated = filters.BooleanFilter(help_text="Also simulated results; never ranked.")
    is_ranked = filters.BooleanFilter(
        help_text="Only what is on the leaderboard, or only the rest."
    )
    diverged = filters.BooleanFilter()
    eval_is_subset = filters.BooleanFilter(help_text="Evaluated on a part of the data only.")
    device = filters.CharFilter(field_name="device_used", help_text="As the script named it.")
    worker = filters.CharFilter(field_name="attempt__worker__name", help_text="A worker's name.")
    max_val_bpb = filters.NumberFilter(field_name="val_bpb", lookup_expr="lte")

    class Meta:
        model = Result
        fields: ClassVar = [
            "simulated",
            "is_ranked",
            "diverged",
            "eval_is_subset",
            "device",
            "worker",
            "max_val_bpb",
        ]

    def filter_queryset(self, queryset: QuerySet[Result]) -> QuerySet[Result]:
        wanted = self.form.cleaned_data
        simulated = wanted.pop("simulated")
        narrowed: QuerySet[Result] = super().filter_queryset(queryset)
        return narrowed if simulated else narrowed.filter(simulated=False)


class WebhookFilter(filters.FilterSet):
    """Webhooks by campaign, and whether they are switched on."""

    campaign = filters.NumberFilter(
        method="hears_of",
        min_value=1,
        max_value=MAX_BIGINT,
        help_text="Those that hear of this campaign: its own, and those of every campaign.",
    )
    is_active = filters.BooleanFilter()

    class Meta:
        model = Webhook
        fields: ClassVar = ["campaign", "is_active"]

    def hears_of(
        self, queryset: QuerySet[Webhook], name: str, number: Decimal
    ) -> QuerySet[Webhook]:
        return queryset.filter(Q(campaign=None) | Q(campaign=int(number)))


class DeliveryFilter(filters.FilterSet):
    """Deliveries by state and event."""

    state = filters.ChoiceFilter(choices=DeliveryState.choices)
    event = filters.ChoiceFilter(choices=WebhookEvent.choices)

    class Meta:
        model = WebhookDelivery
        fields: ClassVar = ["state", "event"]


class InvitationFilter(filters.FilterSet):
    """Invitations that a machine has joined with, or those that nobody has used."""

    used = filters.BooleanFilter(field_name="used_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = EnrolmentToken
        fields: ClassVar = ["used"]


class AuditFilter(filters.FilterSet):
    """Entries of the audit log by person, verb, target and time."""

    person = filters.CharFilter(
        field_name="actor_name", lookup_expr="icontains", help_text="A part of the user name."
    )
    verb = filters.CharFilter(help_text='Such as "launch".')
    kind = filters.CharFilter(
        field_name="target_kind", help_text='Such as "campaign", "task" or "worker".'
    )
    target = filters.NumberFilter(
        field_name="target_id", min_value=0, max_value=MAX_BIGINT, help_text="The target's number."
    )
    search = filters.CharFilter(
        field_name="target_name", lookup_expr="icontains", help_text="A part of the target's name."
    )
    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte", validators=IN_CALENDAR)
    until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt", validators=IN_CALENDAR)

    class Meta:
        model = AuditEntry
        fields: ClassVar = ["person", "verb", "kind", "target", "search", "since", "until"]


class ProgressFilter(filters.FilterSet):
    """Points of the learning curves of one attempt."""

    attempt = filters.NumberFilter(
        field_name="attempt__number", min_value=1, max_value=MAX_BIGINT, help_text="From 1."
    )

    class Meta:
        model = ProgressPoint
        fields: ClassVar = ["attempt"]
