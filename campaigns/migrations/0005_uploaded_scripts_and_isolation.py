"""Scripts that people upload and operators approve, and the isolation a campaign asks for."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def _person() -> models.ForeignKey:
    return models.ForeignKey(
        blank=True,
        null=True,
        on_delete=django.db.models.deletion.SET_NULL,
        related_name="+",
        to=settings.AUTH_USER_MODEL,
    )


class Migration(migrations.Migration):
    """Adds columns; the scripts that exist came with the catalog, and no campaign asks for more."""

    dependencies = [
        ("campaigns", "0004_journal_of_state_changes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="campaign",
            name="required_isolation",
            field=models.CharField(
                choices=[("T0", "T0"), ("T1", "T1")], default="T0", max_length=8
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("required_isolation__in", ["T0", "T1"])),
                name="campaign_isolation_known",
            ),
        ),
        migrations.AddField(
            model_name="package",
            name="origin",
            field=models.CharField(
                choices=[("builtin", "Builtin"), ("uploaded", "Uploaded")],
                default="builtin",
                editable=False,
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="package",
            name="experiment",
            field=models.CharField(blank=True, default="", max_length=100),
            preserve_default=False,
        ),
        migrations.AddField(model_name="package", name="uploaded_by", field=_person()),
        migrations.AddField(model_name="package", name="approved_by", field=_person()),
        migrations.AddField(
            model_name="package",
            name="approved_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="package",
            constraint=models.CheckConstraint(
                condition=models.Q(("origin__in", ["builtin", "uploaded"])),
                name="package_origin_known",
            ),
        ),
    ]
