from django.db import migrations, models


class Migration(migrations.Migration):
    """Tells runs of one worker apart that had other threads, which decide how far a budget leads."""

    dependencies = [("campaigns", "0026_race_seeds")]

    operations = [
        migrations.AddField(
            model_name="resultclass",
            name="threads",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
    ]
