"""Registers the formats of `xeenet_site.web.formats` for templates that `{% load xeenet %}`."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from campaigns.models import FailureClass
from experiments import catalog
from experiments.metrics import MetricSpec
from xeenet_site.web import formats, live, strict_json

register = template.Library()

for filter_function in (
    formats.told,
    formats.count,
    formats.duration,
    formats.two_digits,
    formats.rate,
    formats.percent,
    formats.over_or_under,
    formats.decimals,
    formats.size,
    formats.value,
    formats.pretty_json,
    strict_json.figure_script,
):
    register.filter(filter_function.__name__, filter_function)

for tag in (formats.unknown, formats.ago, formats.chip):
    register.simple_tag(tag)


register.tag("part", live.parse_part)


@register.simple_tag(takes_context=True)
def live_attributes(context: dict[str, Any], seconds: int, url: str = "") -> str:
    """Write the attributes of an outermost part, which refreshes itself; see `live.attributes`."""
    return live.attributes(context["request"], seconds, url)


@register.simple_tag
def measured(value: float | str | None, spec: MetricSpec, why: str = "not known yet") -> str:
    """Write a value with the decimals of its metric; without one, a dash that says why."""
    # Templates resolve a lookup that fails to "".
    return formats.unknown(why) if value is None or isinstance(value, str) else spec.text(value)


@register.simple_tag
def which_is_better() -> str:
    """Say of each metric that experiments are ranked by whether lower or higher is better."""
    return " ".join(
        f"{spec.better.capitalize()} {spec.name} is better." for spec in catalog.metric_specs()
    )


@register.simple_tag
def when_done(forecast: Any, now: dt.datetime) -> SafeString:
    """Write when a campaign is done, or why nobody can say; "" when nothing is open.

    `forecast` is a `standings.forecast.Forecast`. What keeps it from running is amber.
    """
    if forecast.ends_at is None:
        tone = "late-text" if forecast.is_stopped else "soft"
        words: SafeString | str = forecast.why_not
    else:
        tone = "soft"
        about = "about " if forecast.is_guess else ""
        end = formats.clock_time(formats.whole_minute(forecast.ends_at), now)
        words = format_html("ends {}{}", about, end)
    if not words:
        return SafeString()
    return format_html(
        '<span class="when-done small {}" title="{}">{}</span>', tone, forecast.basis, words
    )


@register.simple_tag
def file_url(path: str) -> str:
    """Return the address of a static file; of one that was not collected, the plain one.

    Error pages use it: while Django answers an error, a missing file must not be a second one.
    """
    try:
        return static(path)
    except ValueError:
        return f"{settings.STATIC_URL}{path}"


@register.filter
def failure_label(failure_class: str) -> str:
    """Return a failure class in words: "oom" -> "out of memory"."""
    return str(FailureClass(failure_class).label)
