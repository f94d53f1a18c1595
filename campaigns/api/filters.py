"""Filters and orders of lists."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import F, FloatField, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django_filters import rest_framework as filters

from campaigns.models import (
    MAX_SEED,
    Attempt,
    AttemptOutcome,
    BudgetKind,
    Campaign,
    CampaignState,
    DeliveryState,
    FailureClass,
    ProgressPoint,
    Result,
    Task,
    TaskOrigin,
    TaskPurpose,
    TaskState,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
)
from campaigns.search.samplers import MAX_TASKS
from experiments.metrics import VAL_BPB
from workers.api.fields import MAX_BIGINT
from workers.models import AuditEntry, EnrolmentToken

# Sort key -> the column of a list of campaigns. "" needs an expression, see CampaignFilter. The
# page of the list has the same keys.
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
# Instants that every database can store and compare in every time zone.
BEFORE_ALL: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
AFTER_ALL: Final = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)
IN_CALENDAR: Final = (MinValueValidator(BEFORE_ALL), MaxValueValidator(AFTER_ALL))
# Stands for a missing number in sorting: larger than every value.
NO_VALUE: Final = 1e300
# Sort key -> the column of a list of tasks. "" needs an expression, see TaskFilter.
TASK_SORTS: Final = {
    "number": "number",
    "state": "state",
    "value": "",
    VAL_BPB.name: "",
    "failure": "failure_class",
    "seed": "seed",
    "failures": "failed_attempts",
    "losses": "lost_attempts",
    "ended": "",
}


class SortedList:
    """Mixin for a list whose `sort` filter annotates `sort_key`, the order of its pages."""

    request: Any
    # Sort key -> a unique column, which gives the order without `sort_key`.
    column_sorts: ClassVar[dict[str, str]]
    default_sort: ClassVar[str]
    # Orders rows with the same `sort_key`; a unique column.
    last_order: ClassVar[str]

    @property
    def cursor_ordering(self) -> tuple[str, ...]:
        """The requested order. The filter has refused unknown sorts before."""
        sort = self.request.query_params.get("sort") or self.default_sort
        sign, key = ("-", sort[1:]) if sort.startswith("-") else ("", sort)
        if key in self.column_sorts:
            return (sign + self.column_sorts[key],)
        return (f"{sign}sort_key", self.last_order)


def _sorts(keys: Iterable[str]) -> list[tuple[str, str]]:
    return [(sort, sort) for key in keys for sort in (key, f"-{key}")]


def _or_worst(expression: str, sort: str) -> Coalesce:
    """Return a number that sorts last in place of null: a cursor cannot point at a null."""
    return Coalesce(
        expression, Value(-NO_VALUE if sort.startswith("-") else NO_VALUE, FloatField())
    )


class CampaignFilter(filters.FilterSet):
    """Filter campaigns by state, experiment, budget, owner and a part of their name; sort them."""

    state = filters.ChoiceFilter(choices=CampaignState.choices)
    budget_kind = filters.ChoiceFilter(choices=BudgetKind.choices)
    experiment = filters.CharFilter()
    owner = filters.CharFilter(field_name="owner__username", help_text="A user name.")
    search = filters.CharFilter(
        field_name="name", lookup_expr="icontains", help_text="A part of the name."
    )
    sort = filters.ChoiceFilter(
        choices=_sorts(CAMPAIGN_SORTS),
        method="sorted_by",
        help_text="The default is -created, the newest first. Rows without a value always come "
        "last.",
    )

    class Meta:
        model = Campaign
        fields: ClassVar = ["state", "budget_kind", "experiment", "owner", "search", "sort"]

    def sorted_by(self, queryset: QuerySet[Campaign], name: str, sort: str) -> QuerySet[Any]:
        """Annotate `sort_key`, the order of the pages."""
        key = sort.removeprefix("-")
        if key == "best":
            return queryset.annotate(sort_key=_or_worst("best", sort))
        if key == "owner":
            return queryset.annotate(sort_key=Coalesce("owner__username", Value("")))
        return queryset.annotate(sort_key=F(CAMPAIGN_SORTS[key]))


class TaskFilter(filters.FilterSet):
    """Filter tasks by state, failure class, origin, purpose, arm, seed and worker; sort them."""

    state = filters.ChoiceFilter(choices=TaskState.choices)
    failure_class = filters.ChoiceFilter(choices=FailureClass.choices)
    origin = filters.ChoiceFilter(choices=TaskOrigin.choices)
    purpose = filters.ChoiceFilter(choices=TaskPurpose.choices)
    arm = filters.NumberFilter(
        field_name="arm__number", min_value=0, max_value=MAX_TASKS, help_text="An arm's number."
    )
    seed = filters.NumberFilter(min_value=0, max_value=MAX_SEED)
    worker = filters.CharFilter(
        field_name="worker__name", help_text="The name of the worker that holds it now."
    )
    sort = filters.ChoiceFilter(
        choices=_sorts(TASK_SORTS),
        method="sorted_by",
        help_text="The default is number. Rows without a value always come last.",
    )

    class Meta:
        model = Task
        fields: ClassVar = [
            *("state", "failure_class", "origin", "purpose", "arm", "seed", "worker", "sort"),
        ]

    def sorted_by(self, queryset: QuerySet[Task], name: str, sort: str) -> QuerySet[Any]:
        """Annotate `sort_key`, the order of the pages."""
        key = sort.removeprefix("-")
        if key in {"value", VAL_BPB.name}:
            return queryset.annotate(sort_key=_or_worst("result__value", sort))
        if key == "ended":
            never = BEFORE_ALL if sort.startswith("-") else AFTER_ALL
            return queryset.annotate(sort_key=Coalesce("finished_at", Value(never)))
        return queryset.annotate(sort_key=F(TASK_SORTS[key]))


class AttemptFilter(filters.FilterSet):
    """Filter attempts by outcome, failure class and worker."""

    outcome = filters.ChoiceFilter(choices=AttemptOutcome.choices)
    failure_class = filters.ChoiceFilter(choices=FailureClass.choices)
    worker = filters.CharFilter(field_name="worker__name", help_text="The name of a worker.")

    class Meta:
        model = Attempt
        fields: ClassVar = ["outcome", "failure_class", "worker"]


class WorkerAttemptFilter(filters.FilterSet):
    """Filter the attempts of one worker by outcome, failure class and campaign."""

    outcome = filters.ChoiceFilter(choices=AttemptOutcome.choices)
    failure_class = filters.ChoiceFilter(choices=FailureClass.choices)
    campaign = filters.NumberFilter(
        field_name="task__campaign_id",
        min_value=1,
        max_value=MAX_BIGINT,
        help_text="The number of a campaign.",
    )

    class Meta:
        model = Attempt
        fields: ClassVar = ["outcome", "failure_class", "campaign"]


class ResultFilter(filters.FilterSet):
    """Filter results. Simulated results are left out unless ``simulated=true``."""

    simulated = filters.BooleanFilter(
        help_text="true: also simulated results, which are never ranked."
    )
    is_ranked = filters.BooleanFilter(
        help_text="Only results on the leaderboard (true), or only the others (false)."
    )
    diverged = filters.BooleanFilter()
    implausible = filters.BooleanFilter(
        help_text="Only results that do not count until an operator admits them (true), or only "
        "the others (false)."
    )
    eval_is_subset = filters.BooleanFilter(
        help_text="Only results that were evaluated on a part of the data (true), or on all of it "
        "(false)."
    )
    disturbed = filters.BooleanFilter(
        help_text="Only results whose steps took much longer than expected (true), or only those "
        "that are known not to (false)."
    )
    slow_setup = filters.BooleanFilter(
        help_text="Only results whose set-up took more than 30 % of their time budget (true), or "
        "only those that are known not to (false)."
    )
    result_class = filters.NumberFilter(
        field_name="result_class_id",
        min_value=0,
        max_value=MAX_BIGINT,
        help_text="Only results of the class with this id.",
    )
    device = filters.CharFilter(
        field_name="device_used", help_text="The device, as the script named it."
    )
    worker = filters.CharFilter(
        field_name="attempt__worker__name", help_text="The name of a worker."
    )
    min_value = filters.NumberFilter(field_name="value", lookup_expr="gte")
    max_value = filters.NumberFilter(field_name="value", lookup_expr="lte")
    max_val_bpb = filters.NumberFilter(
        method="at_most", help_text="The same as max_value, in campaigns whose metric is val_bpb."
    )

    class Meta:
        model = Result
        fields: ClassVar = [
            "simulated",
            "is_ranked",
            "diverged",
            "implausible",
            "eval_is_subset",
            "disturbed",
            "slow_setup",
            "result_class",
            "device",
            "worker",
            "min_value",
            "max_value",
            "max_val_bpb",
        ]

    def at_most(self, queryset: QuerySet[Result], name: str, bound: Decimal) -> QuerySet[Result]:
        """Leave out results of any other metric."""
        return queryset.filter(campaign__metric=VAL_BPB.name, value__lte=bound)

    def filter_queryset(self, queryset: QuerySet[Result]) -> QuerySet[Result]:
        # `simulated` is not a plain filter of the column: true keeps both kinds.
        simulated = self.form.cleaned_data.pop("simulated")
        results: QuerySet[Result] = super().filter_queryset(queryset)
        return results if simulated else results.filter(simulated=False)


class WebhookFilter(filters.FilterSet):
    """Filter webhooks by campaign, and by whether they are switched on."""

    campaign = filters.NumberFilter(
        method="hears_of",
        min_value=1,
        max_value=MAX_BIGINT,
        help_text="Webhooks that get this campaign's events: its own, and those of all campaigns.",
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
    """Filter deliveries by state and event."""

    state = filters.ChoiceFilter(choices=DeliveryState.choices)
    event = filters.ChoiceFilter(choices=WebhookEvent.choices)

    class Meta:
        model = WebhookDelivery
        fields: ClassVar = ["state", "event"]


class InvitationFilter(filters.FilterSet):
    """Filter invitations by whether a worker has joined with them."""

    used = filters.BooleanFilter(field_name="used_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = EnrolmentToken
        fields: ClassVar = ["used"]


class AuditFilter(filters.FilterSet):
    """Filter entries of the audit log by person, verb, target and time."""

    person = filters.CharFilter(
        field_name="actor_name", lookup_expr="icontains", help_text="A part of the user name."
    )
    verb = filters.CharFilter(help_text='What was done, such as "launch".')
    kind = filters.CharFilter(
        field_name="target_kind",
        help_text='The kind of target, such as "campaign", "task" or "worker".',
    )
    target = filters.NumberFilter(
        field_name="target_id",
        min_value=0,
        max_value=MAX_BIGINT,
        help_text="The number of the target.",
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
    """Filter progress points by the attempt that reported them."""

    attempt = filters.NumberFilter(
        field_name="attempt__number",
        min_value=1,
        max_value=MAX_BIGINT,
        help_text="The attempt's number, from 1.",
    )

    class Meta:
        model = ProgressPoint
        fields: ClassVar = ["attempt"]
