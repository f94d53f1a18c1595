"""Workers that are people: the identity under which a person's own program asks and tells."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds `Worker.person`; no row changes."""

    dependencies = [
        ("workers", "0002_audit_log"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="person",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="asking_worker",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
