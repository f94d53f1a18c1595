from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Finds the runs without a value, which lists count for each campaign."""

    dependencies = [("campaigns", "0024_notes")]

    operations = [
        migrations.AddIndex(
            model_name="result",
            index=models.Index(
                condition=Q(value__isnull=True),
                fields=["campaign"],
                name="result_without_value",
            ),
        ),
    ]
