from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """How many tasks the agent of a worker runs at once, as its claims tell."""

    dependencies = [("workers", "0007_calibration_speed")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="slots",
            field=models.PositiveSmallIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.AddConstraint(
            model_name="worker",
            constraint=models.CheckConstraint(
                condition=Q(slots__isnull=True) | Q(slots__gte=1, slots__lte=64),
                name="worker_slots_sane",
            ),
        ),
    ]
