from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Which results had a slow set-up, and on which machine their replays are not to run."""

    dependencies = [
        ("campaigns", "0022_classes_of_results"),
    ]

    operations = [
        migrations.AddField(
            model_name="result",
            name="slow_setup",
            field=models.BooleanField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="not_on",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("state", "pending"), models.Q(("not_on", ""), _negated=True)),
                fields=["campaign", "not_on"],
                name="task_for_elsewhere",
            ),
        ),
        migrations.AddConstraint(
            model_name="result",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("slow_setup__isnull", True), ("simulated", False), _connector="OR"
                ),
                name="result_slow_setup_measured",
            ),
        ),
    ]
