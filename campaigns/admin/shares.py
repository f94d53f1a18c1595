"""The admin page of the shares that campaigns have of the workers."""

from __future__ import annotations

from django.contrib import admin

from campaigns.models import Share
from workers.admin_base import HistoryAdmin


@admin.register(Share)
class ShareAdmin(HistoryAdmin):
    """Whose turn is next: the smallest account. Weight and place are set on the page of turns."""

    list_display = ("campaign", "owner", "weight", "place", "account")
    list_filter = ("campaign__state",)
    search_fields = ("campaign__name", "campaign__owner__username")
    list_select_related = ("campaign__owner",)
    ordering = ("account", "pk")

    @admin.display(ordering="campaign__owner__username")
    def owner(self, share: Share) -> str | None:
        return share.campaign.owner.get_username() if share.campaign.owner else None
