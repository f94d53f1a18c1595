from django.db import migrations, models


class Migration(migrations.Migration):
    """How long a worker may be silent before its leases end, where the fleet makes that longer."""

    dependencies = [("workers", "0013_agents_that_claim")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="lease_time",
            field=models.DurationField(blank=True, editable=False, null=True),
        ),
    ]
