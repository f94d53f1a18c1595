"""How the admin looks and what its sidebar lists: the settings of django-unfold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

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


# The sidebar: heading -> (title, icon, app, model) of each list.
_LISTS: Final[dict[str, list[tuple[str, str, str, str]]]] = {
    "Research": [
        ("Campaigns", "science", "campaigns", "campaign"),
        ("Arms", "call_split", "campaigns", "arm"),
        ("Races", "flag", "campaigns", "race"),
        ("Decisions", "gavel", "campaigns", "decision"),
        ("Tasks", "checklist", "campaigns", "task"),
        ("Attempts", "replay", "campaigns", "attempt"),
        ("Results", "leaderboard", "campaigns", "result"),
        ("Classes", "category", "campaigns", "resultclass"),
        ("Noise floors", "graphic_eq", "campaigns", "noisefloor"),
        ("Journal", "history", "campaigns", "statechange"),
        ("Importance", "tune", "campaigns", "importanceestimate"),
        ("Progress points", "show_chart", "campaigns", "progresspoint"),
        ("Scripts", "code", "campaigns", "package"),
        ("Data sets", "database", "campaigns", "dataset"),
    ],
    "Fleet": [
        ("Workers", "memory", "workers", "worker"),
        ("Sessions", "schedule", "workers", "workersession"),
        ("Speeds", "speed", "workers", "calibration"),
        ("Invitations", "mail", "workers", "enrolmenttoken"),
        ("Fleet tokens", "hub", "workers", "fleettoken"),
    ],
    "Background jobs": [
        ("Schedules", "event_repeat", "django_q", "schedule"),
        ("Failed", "error", "django_q", "failure"),
        ("Succeeded", "check_circle", "django_q", "success"),
        ("Waiting", "hourglass", "django_q", "ormq"),
    ],
    "Notifications": [
        ("Webhooks", "webhook", "campaigns", "webhook"),
        ("Deliveries", "outbox", "campaigns", "webhookdelivery"),
    ],
    "People": [
        ("Accounts", "person", "auth", "user"),
        ("Roles", "group", "auth", "group"),
        ("Personal tokens", "key", "campaigns", "personaltoken"),
        ("Audit log", "history", "workers", "auditentry"),
    ],
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
    "STYLES": [lambda _request: static("xeenet/admin.css")],
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "xeenet_site.dashboard.dashboard",
    "COLORS": {
        # The same greys as on the pages: 50 and 900 are the ground in light and dark.
        "base": {
            "50": "#fcfcfa",
            "100": "#f3f3ef",
            "200": "#e4e4df",
            "300": "#cfd0cc",
            "400": "#a0a8b0",
            "500": "#6b7178",
            "600": "#5a6068",
            "700": "#3a4046",
            "800": "#2a2f34",
            "900": "#131517",
            "950": "#0e1012",
        },
        # The same accent colour as on the pages.
        "primary": {
            "50": "#eef5fc",
            "100": "#e3effb",
            "200": "#c3ddf6",
            "300": "#8fc5f9",
            "400": "#6cb2f5",
            "500": "#5aa5ee",
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
            {"title": heading, "items": [_item(*entry) for entry in lists]}
            for heading, lists in _LISTS.items()
        ],
    },
}
