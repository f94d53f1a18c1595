import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps as Apps


def disable_retired(apps: Apps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The state before does not know retired workers; those had no usable token either."""
    apps.get_model("workers", "Worker").objects.filter(state="retired").update(state="disabled")


class Migration(migrations.Migration):
    """Reusable tokens of fleets, and the ephemeral workers that enrol with them."""

    dependencies = [
        ("workers", "0011_refusals_of_an_invitation"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="FleetToken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "label",
                    models.CharField(help_text="Which cluster or queue it is for.", max_length=100),
                ),
                ("token_hash", models.CharField(editable=False, max_length=64, unique=True)),
                (
                    "name_prefix",
                    models.CharField(
                        help_text="The names of its workers begin with this and a hyphen.",
                        max_length=60,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9][A-Za-z0-9_.-]*\\Z",
                                "Begin with a letter or digit; go on with these, “_”, “.” and “-”.",
                            )
                        ],
                    ),
                ),
                (
                    "max_live",
                    models.PositiveIntegerField(
                        help_text="How many of its workers may live at a time.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(10000),
                        ],
                        verbose_name="most live workers",
                    ),
                ),
                (
                    "tier",
                    models.CharField(
                        blank=True,
                        choices=[("", "any"), ("T0", "T0"), ("T1", "T1")],
                        help_text="The weakest isolation in which its workers get tasks; empty for any.",
                        max_length=8,
                    ),
                ),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Nobody enrols with it from then on; empty for never.",
                        null=True,
                    ),
                ),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                "ordering": ["-created_at"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="worker",
            name="worker_state_known",
        ),
        migrations.AddField(
            model_name="worker",
            name="machine_job",
            field=models.PositiveSmallIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="worker",
            name="machine_key",
            field=models.CharField(blank=True, editable=False, max_length=64),
        ),
        migrations.AlterField(
            model_name="worker",
            name="state",
            field=models.CharField(
                choices=[
                    ("active", "Active"),
                    ("draining", "Draining"),
                    ("disabled", "Disabled"),
                    ("retired", "Retired"),
                ],
                default="active",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="fleettoken",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="worker",
            name="fleet_token",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="workers",
                to="workers.fleettoken",
            ),
        ),
        migrations.AddConstraint(
            model_name="worker",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["active", "draining", "disabled", "retired"])),
                name="worker_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="worker",
            constraint=models.UniqueConstraint(
                fields=("fleet_token", "machine_key", "machine_job"), name="worker_of_fleet_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="worker",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("fleet_token__isnull", True),
                        ("machine_job__isnull", True),
                        ("machine_key", ""),
                    ),
                    models.Q(
                        ("fleet_token__isnull", False),
                        ("machine_job__gte", 1),
                        models.Q(("machine_key", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="worker_of_fleet_has_machine",
            ),
        ),
        migrations.AddConstraint(
            model_name="worker",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "retired"), _negated=True),
                    ("fleet_token__isnull", False),
                    _connector="OR",
                ),
                name="worker_retired_of_fleet",
            ),
        ),
        migrations.AddConstraint(
            model_name="fleettoken",
            constraint=models.CheckConstraint(
                condition=models.Q(("max_live__gte", 1), ("max_live__lte", 10000)),
                name="fleet_token_max_live_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="fleettoken",
            constraint=models.CheckConstraint(
                condition=models.Q(("tier__in", ["", "T0", "T1"])), name="fleet_token_tier_known"
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, disable_retired),
    ]
