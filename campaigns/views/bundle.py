"""Downloads of the task page: the bundle that repeats the run, and the learning curve."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404

from campaigns.analysis.curves import csv_of
from campaigns.exports.bundles import bundle_name, task_bundle
from campaigns.models import Task
from xeenet_site.web.pages import reading_page, signed_in


def _with_campaign() -> QuerySet[Task]:
    return Task.objects.select_related("campaign__dataset", "campaign__package", "result")


@signed_in
def task_zip(request: HttpRequest, pk: int) -> HttpResponse:
    """Send the bundle. As over the API, scripts are for people signed in."""
    task = get_object_or_404(_with_campaign(), pk=pk)
    server_url = request.build_absolute_uri("/").rstrip("/")
    content = task_bundle(task, getattr(task, "result", None), server_url=server_url)
    return HttpResponse(
        content,
        content_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{bundle_name(task)}.zip"'},
    )


@reading_page
def curve_csv(_request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Send every progress point of every attempt."""
    task = get_object_or_404(Task.objects.select_related("campaign"), pk=pk)
    name = f"{bundle_name(task)}-curve.csv"
    return StreamingHttpResponse(
        csv_of(task),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
