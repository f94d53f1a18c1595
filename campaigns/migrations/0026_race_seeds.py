from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Keeps with a campaign on how many seeds the races run that people start."""

    dependencies = [("campaigns", "0025_results_without_value")]

    operations = [
        migrations.AddField(
            model_name="campaign",
            name="race_seeds",
            field=models.PositiveSmallIntegerField(default=12),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=Q(race_seeds__gte=3, race_seeds__lte=1000),
                name="campaign_race_seeds_sane",
            ),
        ),
    ]
