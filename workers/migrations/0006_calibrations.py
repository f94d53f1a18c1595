import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """How fast workers train, measured between their tasks."""

    dependencies = [
        ("workers", "0005_programs_without_their_person"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Calibration",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("taken_at", models.DateTimeField()),
                ("experiment", models.CharField(max_length=100)),
                ("script_sha256", models.CharField(max_length=64)),
                ("device", models.CharField(max_length=50)),
                ("dtype", models.CharField(max_length=50)),
                ("threads", models.PositiveIntegerField(blank=True, null=True)),
                ("torch_version", models.CharField(blank=True, max_length=50)),
                (
                    "isolation",
                    models.CharField(
                        blank=True, choices=[("T0", "T0"), ("T1", "T1")], max_length=8
                    ),
                ),
                ("shapes", models.JSONField()),
                ("coefficients", models.JSONField(default=dict)),
                ("fit_error", models.FloatField(blank=True, null=True)),
                ("foreign_load", models.FloatField(blank=True, null=True)),
                ("value_off", models.FloatField(blank=True, null=True)),
                ("flagged", models.BooleanField(default=False)),
                ("admitted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "admitted_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "worker",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="calibrations",
                        to="workers.worker",
                    ),
                ),
            ],
            options={
                "ordering": ["-taken_at", "-id"],
                "indexes": [
                    models.Index(fields=["worker", "-taken_at", "-id"], name="calibration_newest")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("fit_error__isnull", True),
                                models.Q(("fit_error__gte", 0), ("fit_error__lt", 1000000.0)),
                                _connector="OR",
                            ),
                            models.Q(
                                ("foreign_load__isnull", True),
                                models.Q(("foreign_load__gte", 0), ("foreign_load__lt", 1000000.0)),
                                _connector="OR",
                            ),
                            models.Q(
                                ("value_off__isnull", True),
                                models.Q(("value_off__gte", 0), ("value_off__lt", 1000000.0)),
                                _connector="OR",
                            ),
                        ),
                        name="calibration_numbers_sane",
                    )
                ],
            },
        ),
    ]
