from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """How fast a calibration found its worker, next to the machine that the catalog records."""

    dependencies = [("workers", "0006_calibrations")]

    operations = [
        migrations.RemoveConstraint(
            model_name="calibration",
            name="calibration_numbers_sane",
        ),
        migrations.AddField(
            model_name="calibration",
            name="speed",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="calibration",
            constraint=models.CheckConstraint(
                condition=(
                    (Q(fit_error__isnull=True) | Q(fit_error__gte=0, fit_error__lt=1e6))
                    & (Q(speed__isnull=True) | Q(speed__gt=0, speed__lt=1e9))
                    & (Q(foreign_load__isnull=True) | Q(foreign_load__gte=0, foreign_load__lt=1e6))
                    & (Q(value_off__isnull=True) | Q(value_off__gte=0, value_off__lt=1e6))
                ),
                name="calibration_numbers_sane",
            ),
        ),
    ]
