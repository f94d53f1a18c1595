"""The admin pages of classes of results, and of their noise floors."""

from __future__ import annotations

from django.contrib import admin

from campaigns.models import NoiseFloor, ResultClass
from workers.admin_base import HistoryAdmin


@admin.register(ResultClass)
class ResultClassAdmin(HistoryAdmin):
    """Which results may stand in one order."""

    list_display = (
        "budget",
        "device_kind",
        "dtype",
        "band",
        "threads",
        "eval_is_subset",
        "metric",
        "package",
        "dataset",
        "created_at",
    )
    list_filter = ("budget_kind", "eval_is_subset", "metric", "created_at")
    search_fields = ("budget", "device_kind", "band__name")
    list_select_related = ("band", "package", "dataset")
    ordering = ("-pk",)
    date_hierarchy = "created_at"


@admin.register(NoiseFloor)
class NoiseFloorAdmin(HistoryAdmin):
    """How much the results of each class vary between seeds."""

    list_display = ("result_class", "sd", "pairs", "bad_seed_rate", "as_of")
    list_filter = ("as_of",)
    search_fields = ("result_class__budget", "result_class__device_kind")
    list_select_related = ("result_class__band",)
    ordering = ("-as_of", "-pk")
    date_hierarchy = "as_of"
