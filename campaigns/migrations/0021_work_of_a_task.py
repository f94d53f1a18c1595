from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """How much work a task is, and an index of the tries that were too slow: a claim reads both."""

    dependencies = [
        ("campaigns", "0020_automatic_races"),
        ("workers", "0006_calibrations"),
    ]

    operations = [
        migrations.AddField(
            model_name="task",
            name="work_seconds",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("failure_class", "too_slow")),
                fields=["worker"],
                name="attempt_too_slow",
            ),
        ),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("work_seconds__isnull", True),
                    models.Q(
                        ("max_steps__isnull", False),
                        ("work_seconds__gt", 0),
                        ("work_seconds__lte", 604800),
                    ),
                    _connector="OR",
                ),
                name="task_work_sane",
            ),
        ),
    ]
