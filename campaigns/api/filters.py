"""How lists are narrowed and cut into pages."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework.pagination import PageNumberPagination

from campaigns.models import Campaign, CampaignState, Result, Task, TaskState


class Pages(PageNumberPagination):
    """Numbered pages of a bounded size."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


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
    """Tasks by state."""

    state = filters.ChoiceFilter(choices=TaskState.choices)

    class Meta:
        model = Task
        fields: ClassVar = ["state"]


class ResultFilter(filters.FilterSet):
    """Measured results; with ``simulated=true`` also those that nobody measured."""

    simulated = filters.BooleanFilter(help_text="Also simulated results; never ranked.")

    class Meta:
        model = Result
        fields: ClassVar = ["simulated"]

    def filter_queryset(self, queryset: QuerySet[Result]) -> QuerySet[Result]:
        if self.form.cleaned_data["simulated"]:
            return queryset
        return queryset.filter(simulated=False)
