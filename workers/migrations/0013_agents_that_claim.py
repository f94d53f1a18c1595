from django.db import migrations, models


class Migration(migrations.Migration):
    """Which start of an agent claims for a worker, and when each start first did."""

    dependencies = [("workers", "0012_fleet_tokens")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="claiming_boot",
            field=models.UUIDField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="workersession",
            name="claimed_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
