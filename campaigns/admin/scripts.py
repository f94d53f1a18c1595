"""The admin page of training scripts. Their text is on the pages."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from campaigns.admin.verbs import apply
from campaigns.models import Package
from campaigns.scripts import steering as script_steering
from workers.admin_base import HistoryAdmin


@admin.register(Package)
class PackageAdmin(HistoryAdmin):
    """Scripts that campaigns have pinned or people have uploaded, with who judged them."""

    verbs_write_entries = True
    exclude = ("source",)
    list_display = (
        "name",
        "short_sha256",
        "origin",
        "may_run",
        "uploaded_by",
        "approved_by",
        "created_at",
    )
    list_filter = (
        "origin",
        ("approved_at", admin.EmptyFieldListFilter),
        ("declined_at", admin.EmptyFieldListFilter),
        "created_at",
    )
    search_fields = ("name", "sha256", "uploaded_by__username")
    list_select_related = script_steering.JUDGES
    date_hierarchy = "created_at"
    actions = ("approve", "withdraw")

    @admin.display(description="hash", ordering="sha256")
    def short_sha256(self, package: Package) -> str:
        return package.sha256[:12]

    @admin.display(boolean=True, description="may run", ordering="approved_at")
    def may_run(self, package: Package) -> bool:
        return package.may_run

    @admin.action(permissions=["change"], description="Approve: workers may get it")
    def approve(self, request: HttpRequest, packages: QuerySet[Package]) -> None:
        apply(request, packages, script_steering.approve, "script(s) approved")

    @admin.action(permissions=["change"], description="Withdraw: no worker gets it any more")
    def withdraw(self, request: HttpRequest, packages: QuerySet[Package]) -> None:
        apply(request, packages, script_steering.withdraw, "approval(s) withdrawn")
