from django.db import migrations, models


class Migration(migrations.Migration):
    """Notes of an uploaded script that it gives the same values when it starts warm."""

    dependencies = [("campaigns", "0027_threads_of_classes")]

    operations = [
        migrations.AddField(
            model_name="package",
            name="warm_checked_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
