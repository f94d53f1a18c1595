from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    """Counts the tasks of a large launch that a background job has yet to make."""

    dependencies = [("campaigns", "0031_journal_without_checked_keys")]

    operations = [
        migrations.AddField(
            model_name="campaign",
            name="undrawn_tasks",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="campaign",
            name="drawing_since",
            field=models.DateTimeField(blank=True, null=True, editable=False),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                name="campaign_undrawn_counted",
                condition=Q(undrawn_tasks=0, drawing_since__isnull=True)
                | Q(
                    undrawn_tasks__gt=0,
                    undrawn_tasks__lte=F("task_count") - F("kept_runs"),
                    drawing_since__isnull=False,
                    state__in=["active", "paused"],
                ),
            ),
        ),
    ]
