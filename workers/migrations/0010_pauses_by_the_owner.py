from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Whether the rules of a worker's owner pause its agent, as its heartbeats tell."""

    dependencies = [("workers", "0009_scripts_of_a_worker")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="owner_pauses",
            field=models.BooleanField(
                default=False, editable=False, verbose_name="paused by its owner"
            ),
        ),
        migrations.AddField(
            model_name="worker",
            name="owner_pauses_until",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="owner's pause ends"
            ),
        ),
        migrations.AddConstraint(
            model_name="worker",
            constraint=models.CheckConstraint(
                condition=Q(owner_pauses=True) | Q(owner_pauses_until__isnull=True),
                name="worker_owner_pause_sane",
            ),
        ),
    ]
