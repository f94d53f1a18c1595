"""Registers the formats of `xeenet_site.web.formats` for templates that `{% load xeenet %}`."""

from __future__ import annotations

from django import template

from campaigns.models import FailureClass
from xeenet_site.web import formats, strict_json

register = template.Library()

for filter_function in (
    formats.told,
    formats.bpb,
    formats.count,
    formats.duration,
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


@register.filter
def failure_label(failure_class: str) -> str:
    """Return a failure class in words: "oom" -> "out of memory"."""
    return str(FailureClass(failure_class).label)
