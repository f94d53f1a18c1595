"""What background jobs computed of the importance of parameters."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0005_uploaded_scripts_and_isolation"),
    ]

    operations = [
        migrations.CreateModel(
            name="ImportanceEstimate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("device", models.CharField(blank=True, max_length=100)),
                ("asked_at", models.DateTimeField(blank=True, null=True)),
                ("revision", models.PositiveBigIntegerField(blank=True, null=True)),
                ("computed_at", models.DateTimeField(blank=True, null=True)),
                ("found", models.JSONField(blank=True, null=True)),
                (
                    "campaign",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="importance_estimates",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("campaign", "device"), name="importance_once_per_device"
                    )
                ],
            },
        ),
    ]
