"""One task with its config, attempts and result."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404

from campaigns.analysis import seeds_of_point
from campaigns.models import Task
from campaigns.serializers.tasks import TaskDetailSerializer


def task_detail(**look_up: int) -> dict[str, Any]:
    """Return the task that the look-up selects as JSON data. Raises Http404."""
    tasks = Task.objects.select_related(
        "campaign__dataset", "arm", "worker", "result__attempt__worker"
    )
    task: Any = get_object_or_404(tasks.prefetch_related("attempts__worker"), **look_up)
    if hasattr(task, "result"):
        task.result.campaign = task.campaign  # otherwise the serializer would load it again
    task.replicates = seeds_of_point.of_points([task])[task.pk]
    data: dict[str, Any] = TaskDetailSerializer(task).data
    return data
