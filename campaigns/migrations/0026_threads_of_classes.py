from django.db import migrations, models


class Migration(migrations.Migration):
    """Tells runs of one worker apart that had other threads, which decide how far a budget leads."""

    dependencies = [("campaigns", "0025_results_without_value")]

    operations = [
        migrations.AddField(
            model_name="resultclass",
            name="threads",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
    ]
