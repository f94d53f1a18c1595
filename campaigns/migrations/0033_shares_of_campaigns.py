import django.db.models.deletion
from django.db import migrations, models

MAKE_ROWS = """
    INSERT INTO campaigns_share (campaign_id, account, weight)
    SELECT id, 0, 1 FROM campaigns_campaign
"""


class Migration(migrations.Migration):
    """The share of the fleet that each campaign gets; those that exist begin as equals."""

    dependencies = [("campaigns", "0032_undrawn_tasks")]

    operations = [
        migrations.CreateModel(
            name="Share",
            fields=[
                (
                    "campaign",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="share",
                        serialize=False,
                        to="campaigns.campaign",
                    ),
                ),
                ("account", models.FloatField(default=0.0)),
                ("weight", models.FloatField(default=1.0)),
                ("place", models.PositiveSmallIntegerField(blank=True, null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("account__gte", 0), ("account__lte", 1e300)),
                        name="share_account_sane",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("weight__gte", 0.01), ("weight__lte", 100.0)),
                        name="share_weight_sane",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("place__isnull", True),
                            models.Q(("place__gte", 1), ("place__lte", 1000)),
                            _connector="OR",
                        ),
                        name="share_place_sane",
                    ),
                ],
            },
        ),
        migrations.RunSQL(MAKE_ROWS, migrations.RunSQL.noop),
    ]
