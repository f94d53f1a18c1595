from django.db import migrations, models

MARK = """
    UPDATE campaigns_result SET is_screening = TRUE
    WHERE task_id IN (SELECT id FROM campaigns_task WHERE purpose = 'screen')
"""


class Migration(migrations.Migration):
    """Which results are of the first task of their arm: the board of arms reads one index."""

    dependencies = [("campaigns", "0017_value_of_a_progress_point")]

    operations = [
        migrations.AddField(
            model_name="result",
            name="is_screening",
            field=models.BooleanField(default=False),
        ),
        migrations.RunSQL(MARK, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="result",
            index=models.Index(
                condition=models.Q(("is_ranked", True), ("is_screening", True)),
                fields=["campaign", "sort_key", "created_at", "id"],
                name="result_screened",
            ),
        ),
    ]
