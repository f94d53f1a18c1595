from django.db import migrations, models

# Of the tasks that have ended nobody asks; those that are leased may come back.
RANK_OPEN_TASKS = """
    UPDATE campaigns_task
    SET queue_rank = CASE WHEN purpose = 'race' THEN 0 ELSE 1 END
    WHERE state IN ('pending', 'leased') AND (purpose = 'race' OR origin = 'enqueued')
"""


class Migration(migrations.Migration):
    """Which tasks of a campaign are handed out first, in the index of those that wait."""

    dependencies = [("campaigns", "0033_shares_of_campaigns")]

    operations = [
        migrations.RemoveIndex(model_name="task", name="task_pending"),
        migrations.RemoveIndex(model_name="task", name="task_pending_of_campaign"),
        migrations.AddField(
            model_name="task",
            name="queue_rank",
            field=models.PositiveSmallIntegerField(
                choices=[(0, "Race"), (1, "Enqueued"), (2, "Sampled")], default=2
            ),
        ),
        migrations.RunSQL(RANK_OPEN_TASKS, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("state", "pending")),
                fields=["campaign", "queue_rank", "available_at", "id"],
                name="task_pending_of_campaign",
            ),
        ),
    ]
