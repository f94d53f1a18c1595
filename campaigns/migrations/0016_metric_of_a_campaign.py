from django.db import migrations, models

# Everything that was launched so far ran for val_bpb.
PIN = """
    UPDATE campaigns_campaign SET metric = 'val_bpb', metric_version = 1
    WHERE launched_at IS NOT NULL
"""


class Migration(migrations.Migration):
    """The metric that a campaign is ranked by, pinned at its launch."""

    dependencies = [("campaigns", "0015_result_value_and_sort_key")]

    operations = [
        migrations.AddField(
            model_name="campaign",
            name="metric",
            field=models.CharField(blank=True, editable=False, max_length=50),
        ),
        migrations.AddField(
            model_name="campaign",
            name="metric_version",
            field=models.PositiveSmallIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.RunSQL(PIN, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("launched_at__isnull", True),
                    models.Q(
                        models.Q(("metric", ""), _negated=True), ("metric_version__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="campaign_launched_with_metric",
            ),
        ),
    ]
