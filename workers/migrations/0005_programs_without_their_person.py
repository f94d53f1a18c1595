"""People's own programs are told from machines also when their account is gone."""

from typing import Any

from django.db import migrations, models
from django.db.models import Q


def mark_programs(apps: Any, _schema_editor: Any) -> None:
    """Mark those with a person, and those who had one: nobody enrolled them."""
    orphaned = Q(person=None, enrolment=None, name__startswith="ask:")
    workers = apps.get_model("workers", "Worker").objects
    found = workers.filter(~Q(person=None) | orphaned).values_list("pk", flat=True)
    workers.filter(pk__in=list(found)).update(is_program=True)


class Migration(migrations.Migration):
    """Adds a column, and fills it."""

    dependencies = [("workers", "0004_isolation_and_uploaded_scripts")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="is_program",
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.RunPython(mark_programs, migrations.RunPython.noop),
    ]
