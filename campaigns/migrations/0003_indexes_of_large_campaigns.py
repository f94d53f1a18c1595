from django.db import migrations, models


class Migration(migrations.Migration):
    """Indexes for the log of a campaign and the newest results, which read 100,000 rows without."""

    dependencies = [("campaigns", "0002_revisions_origins_and_webhooks")]

    operations = [
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("outcome__in", ["failed", "lost"])),
                fields=["-ended_at", "-id"],
                name="attempt_went_wrong",
            ),
        ),
        migrations.AddIndex(
            model_name="result",
            index=models.Index(fields=["-created_at", "-id"], name="result_newest"),
        ),
    ]
