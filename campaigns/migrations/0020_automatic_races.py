from django.db import migrations, models


class Migration(migrations.Migration):
    """The runs that a campaign keeps for its race, and which races began by themselves."""

    dependencies = [("campaigns", "0019_work_budgets_and_classes")]

    operations = [
        migrations.AddField(
            model_name="campaign",
            name="kept_runs",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="race",
            name="chosen_from",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("kept_runs__lte", models.F("task_count"))),
                name="campaign_kept_runs_counted",
            ),
        ),
    ]
