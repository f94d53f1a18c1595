import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Work budgets, classes of results with their noise, and automatic races."""

    dependencies = [
        ("campaigns", "0018_screening_results"),
        ("workers", "0006_calibrations"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="NoiseFloor",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sd", models.FloatField(blank=True, null=True)),
                ("pairs", models.PositiveIntegerField(default=0)),
                ("bad_seed_rate", models.FloatField(blank=True, null=True)),
                ("as_of", models.DateTimeField()),
            ],
            options={
                "ordering": ["result_class_id"],
            },
        ),
        migrations.CreateModel(
            name="ResultClass",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(editable=False, max_length=64, unique=True)),
                ("metric", models.CharField(max_length=50)),
                ("metric_version", models.PositiveSmallIntegerField()),
                (
                    "budget_kind",
                    models.CharField(choices=[("time", "Time"), ("work", "Work")], max_length=16),
                ),
                ("budget", models.CharField(max_length=200)),
                ("cost_model_sha256", models.CharField(blank=True, max_length=64)),
                ("eval_is_subset", models.BooleanField()),
                ("device_kind", models.CharField(max_length=50)),
                ("dtype", models.CharField(blank=True, max_length=50)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.AddField(
            model_name="arm",
            name="infeasible",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="attempt",
            name="time_budget_seconds",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="campaign",
            name="asked_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="campaign",
            name="budget_kind",
            field=models.CharField(
                choices=[("time", "Time"), ("work", "Work")], default="time", max_length=16
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="cost_model",
            field=models.JSONField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="campaign",
            name="min_effect",
            field=models.FloatField(default=0.01),
        ),
        migrations.AddField(
            model_name="campaign",
            name="races_automatically",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="campaign",
            name="work_amount",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="campaign",
            name="work_unit",
            field=models.CharField(
                blank=True,
                choices=[("seconds", "Seconds"), ("steps", "Steps"), ("tokens", "Tokens")],
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="result",
            name="arm",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="campaigns.arm",
            ),
        ),
        migrations.AddField(
            model_name="result",
            name="disturbed",
            field=models.BooleanField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="result",
            name="foreign_load",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="result",
            name="step_seconds",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="max_steps",
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="failure_class",
            field=models.CharField(
                blank=True,
                choices=[
                    ("lost", "worker lost"),
                    ("script_error", "script error"),
                    ("no_json", "no result line"),
                    ("invalid_result", "invalid result"),
                    ("timeout", "timeout"),
                    ("oom", "out of memory"),
                    ("disk_full", "disk full"),
                    ("output_flood", "output flood"),
                    ("env_error", "worker environment"),
                    ("refused", "refused by the worker"),
                    ("too_slow", "too slow"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="failure_class",
            field=models.CharField(
                blank=True,
                choices=[
                    ("lost", "worker lost"),
                    ("script_error", "script error"),
                    ("no_json", "no result line"),
                    ("invalid_result", "invalid result"),
                    ("timeout", "timeout"),
                    ("oom", "out of memory"),
                    ("disk_full", "disk full"),
                    ("output_flood", "output flood"),
                    ("env_error", "worker environment"),
                    ("refused", "refused by the worker"),
                    ("too_slow", "too slow"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="webhookdelivery",
            name="event",
            field=models.CharField(
                choices=[
                    ("new_best", "New Best"),
                    ("decided", "Decided"),
                    ("campaign_finished", "Campaign Finished"),
                    ("failure_burst", "Failure Burst"),
                    ("silent_fleet", "Silent Fleet"),
                ],
                max_length=32,
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("budget_kind", "time"),
                        ("cost_model__isnull", True),
                        ("work_amount__isnull", True),
                        ("work_unit", ""),
                    ),
                    models.Q(
                        ("budget_kind", "work"),
                        ("work_amount__gt", 0),
                        ("work_amount__isnull", False),
                        ("work_amount__lt", 2147483647),
                        ("work_unit__in", ["seconds", "steps", "tokens"]),
                    ),
                    _connector="OR",
                ),
                name="campaign_work_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("min_effect__gte", 0), ("min_effect__lte", 1000.0)),
                name="campaign_min_effect_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("max_steps__isnull", True), ("max_steps__gte", 1), _connector="OR"
                ),
                name="task_steps_positive",
            ),
        ),
        migrations.AddField(
            model_name="resultclass",
            name="band",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="workers.worker",
            ),
        ),
        migrations.AddField(
            model_name="resultclass",
            name="dataset",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="campaigns.dataset",
            ),
        ),
        migrations.AddField(
            model_name="resultclass",
            name="package",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="campaigns.package",
            ),
        ),
        migrations.AddField(
            model_name="noisefloor",
            name="result_class",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="noise_floor",
                to="campaigns.resultclass",
            ),
        ),
        migrations.AddField(
            model_name="result",
            name="result_class",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="results",
                to="campaigns.resultclass",
            ),
        ),
        migrations.AddConstraint(
            model_name="result",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("step_seconds__isnull", True),
                        models.Q(("step_seconds__gt", 0), ("step_seconds__lt", 1000000000.0)),
                        _connector="OR",
                    ),
                    models.Q(
                        ("foreign_load__isnull", True),
                        models.Q(("foreign_load__gte", 0), ("foreign_load__lt", 1000000.0)),
                        _connector="OR",
                    ),
                ),
                name="result_speed_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="resultclass",
            constraint=models.CheckConstraint(
                condition=models.Q(("budget_kind__in", ["time", "work"])),
                name="class_budget_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="noisefloor",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("pairs", 0), ("sd__isnull", True)),
                        models.Q(
                            ("pairs__gte", 1),
                            ("sd__gte", 0),
                            ("sd__isnull", False),
                            ("sd__lt", 1000000.0),
                        ),
                        _connector="OR",
                    ),
                    models.Q(
                        ("bad_seed_rate__isnull", True),
                        models.Q(("bad_seed_rate__gte", 0), ("bad_seed_rate__lte", 1)),
                        _connector="OR",
                    ),
                ),
                name="noise_floor_sane",
            ),
        ),
    ]
