"""An operator's no to an uploaded script, with the reason."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def decline_withdrawn(apps: Any, schema_editor: Any) -> None:
    """Write on a script whose approval was withdrawn what until now only the audit log said."""
    packages = apps.get_model("campaigns", "Package").objects.using(schema_editor.connection.alias)
    entries = apps.get_model("workers", "AuditEntry").objects.using(schema_editor.connection.alias)
    withdrawn = entries.filter(target_kind="package", verb="withdraw_script")
    for entry in withdrawn.order_by("at", "id"):
        packages.filter(pk=entry.detail, approved_at=None).update(
            declined_at=entry.at,
            declined_by=entry.actor,
            declined_reason="The approval was withdrawn.",
        )


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("workers", "0002_audit_log"),
        ("campaigns", "0007_pending_tasks_of_a_campaign"),
    ]

    operations = [
        migrations.AddField(
            model_name="package",
            name="declined_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="package",
            name="declined_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="package",
            name="declined_reason",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddConstraint(
            model_name="package",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_at__isnull", True), ("declined_at__isnull", True), _connector="OR"
                ),
                name="package_judged_one_way",
            ),
        ),
        migrations.RunPython(decline_withdrawn, migrations.RunPython.noop, elidable=True),
    ]
