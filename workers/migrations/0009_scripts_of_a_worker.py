from django.db import migrations, models


class Migration(migrations.Migration):
    """Which of the catalog's scripts the agent of a worker runs; before its next claim, any."""

    dependencies = [("workers", "0008_slots_of_a_worker")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="scripts",
            field=models.TextField(blank=True, editable=False),
        ),
        migrations.AddField(
            model_name="worker",
            name="runs_any_script",
            field=models.BooleanField(default=True, editable=False),
        ),
        migrations.AddField(
            model_name="worker",
            name="refused_scripts",
            field=models.TextField(blank=True, editable=False),
        ),
    ]
