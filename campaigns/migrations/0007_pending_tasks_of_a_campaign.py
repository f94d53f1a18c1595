"""An index for the oldest waiting task of one campaign, with which a claim begins its search."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0006_importance_estimates"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("state", "pending")),
                fields=["campaign", "available_at", "id"],
                name="task_pending_of_campaign",
            ),
        ),
    ]
