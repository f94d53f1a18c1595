"""How the admin looks and what its sidebar lists: the settings of django-unfold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may_view(app: str, model: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(f"{app}.view_{model}")


def _item(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_view(app, model),
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "XeeNet admin",
    "SITE_HEADER": "XeeNet",
    "SITE_SUBHEADER": "Admin",
    "SITE_URL": reverse_lazy("overview"),
    "SITE_SYMBOL": "labs",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("xeenet/favicon.svg"),
        },
    ],
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "xeenet_site.dashboard.dashboard",
    "COLORS": {
        # The accent of the pages.
        "primary": {
            "50": "#eef5fc",
            "100": "#e3effb",
            "200": "#c3ddf6",
            "300": "#8fc5f9",
            "400": "#6cb2f5",
            "500": "#2f7fd0",
            "600": "#0b5cad",
            "700": "#084a8c",
            "800": "#0a3c6f",
            "900": "#0d335c",
            "950": "#0a2039",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "title": "Research",
                "items": [
                    _item("Campaigns", "science", "campaigns", "campaign"),
                    _item("Tasks", "checklist", "campaigns", "task"),
                    _item("Attempts", "replay", "campaigns", "attempt"),
                    _item("Results", "leaderboard", "campaigns", "result"),
                    _item("Journal", "history", "campaigns", "statechange"),
                    _item("Importance", "tune", "campaigns", "importanceestimate"),
                    _item("Progress points", "show_chart", "campaigns", "progresspoint"),
                    _item("Scripts", "code", "campaigns", "package"),
                    _item("Data sets", "database", "campaigns", "dataset"),
                ],
            },
            {
                "title": "Fleet",
                "items": [
                    _item("Workers", "memory", "workers", "worker"),
                    _item("Sessions", "schedule", "workers", "workersession"),
                    _item("Invitations", "mail", "workers", "enrolmenttoken"),
                ],
            },
            {
                "title": "Background jobs",
                "items": [
                    _item("Schedules", "event_repeat", "django_q", "schedule"),
                    _item("Failed", "error", "django_q", "failure"),
                    _item("Succeeded", "check_circle", "django_q", "success"),
                    _item("Waiting", "hourglass", "django_q", "ormq"),
                ],
            },
            {
                "title": "Notifications",
                "items": [
                    _item("Webhooks", "webhook", "campaigns", "webhook"),
                    _item("Deliveries", "outbox", "campaigns", "webhookdelivery"),
                ],
            },
            {
                "title": "People",
                "items": [
                    _item("Accounts", "person", "auth", "user"),
                    _item("Roles", "group", "auth", "group"),
                    _item("Personal tokens", "key", "campaigns", "personaltoken"),
                    _item("Audit log", "history", "workers", "auditentry"),
                ],
            },
        ],
    },
}
