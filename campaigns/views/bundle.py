"""Downloads of the task page: the bundle that repeats the run, and the learning curve."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404

from campaigns.bundles import bundle_name, task_bundle
from campaigns.models import ProgressPoint, Task
from workers.csv_text import csv_lines
from workers.pages import reading_page, signed_in

CURVE_COLUMNS = ("seq", "elapsed_seconds", "step", "tokens", "train_loss", "val_bpb")


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
    """Send every progress point of every attempt; losses in nats per byte, as reported."""
    task = get_object_or_404(Task.objects.select_related("campaign"), pk=pk)
    points = ProgressPoint.objects.filter(attempt__task=task).order_by("attempt__number", "seq")
    rows = points.values_list("attempt__number", *CURVE_COLUMNS).iterator()
    name = f"{bundle_name(task)}-curve.csv"
    return StreamingHttpResponse(
        csv_lines(("attempt", *CURVE_COLUMNS), rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
