"""How lists are narrowed and cut into pages."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.request import Request

from campaigns.models import (
    MAX_SEED,
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    FailureClass,
    Result,
    Task,
    TaskOrigin,
    TaskState,
)


class Pages(PageNumberPagination):
    """Numbered pages of a bounded size."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


class Cursor(CursorPagination):
    """Pages that follow one another by their `next` address, each as quick as the first.

    Nothing is counted, and a row that is added meanwhile moves no other to another page. The view
    says the order in `cursor_ordering`: one column without equals, else a page back may overlap.
    """

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        ordering: tuple[str, ...] = view.cursor_ordering
        return ordering


class CampaignFilter(filters.FilterSet):
    """Campaigns by state, experiment, owner and a part of their name."""

    state = filters.ChoiceFilter(choices=CampaignState.choices)
    experiment = filters.CharFilter()
    owner = filters.CharFilter(field_name="owner__username", help_text="A user name.")
    search = filters.CharFilter(
        field_name="name", lookup_expr="icontains", help_text="A part of the name."
    )

    class Meta:
        model = Campaign
        fields: ClassVar = ["state", "experiment", "owner", "search"]


class TaskFilter(filters.FilterSet):
    """Tasks by state, failure class, origin, seed, and the worker that holds them."""

    state = filters.ChoiceFilter(choices=TaskState.choices)
    failure_class = filters.ChoiceFilter(choices=FailureClass.choices)
    origin = filters.ChoiceFilter(choices=TaskOrigin.choices)
    seed = filters.NumberFilter(min_value=0, max_value=MAX_SEED)
    worker = filters.CharFilter(
        field_name="worker__name", help_text="The name of the worker that holds it now."
    )

    class Meta:
        model = Task
        fields: ClassVar = ["state", "failure_class", "origin", "seed", "worker"]


class AttemptFilter(filters.FilterSet):
    """Attempts by outcome, failure class and worker."""

    outcome = filters.ChoiceFilter(choices=AttemptOutcome.choices)
    failure_class = filters.ChoiceFilter(choices=FailureClass.choices)
    worker = filters.CharFilter(field_name="worker__name", help_text="The name of a worker.")

    class Meta:
        model = Attempt
        fields: ClassVar = ["outcome", "failure_class", "worker"]


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
