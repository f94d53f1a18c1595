from collections import Counter

from django.db import migrations, models


def number_running_attempts(apps, _editor):
    """Let a claim that is repeated after the update find what it got before."""
    attempts = apps.get_model("campaigns", "Attempt").objects.filter(outcome="running")
    running = list(attempts.order_by("pk").only("worker_id", "claim_id"))
    places = Counter()
    for attempt in running:
        claim = attempt.worker_id, attempt.claim_id
        attempt.ordinal = places[claim]
        places[claim] += 1
    attempts.bulk_update(running, ["ordinal"], batch_size=500)


class Migration(migrations.Migration):
    """A claim's attempts get places, so that two repetitions of it at once cannot both get tasks.

    The index takes the place of `attempt_by_claim`. It is partial: attempts that have ended are not
    read, and SQLite does not write the whole table anew.
    """

    dependencies = [("campaigns", "0028_warm_checked_scripts")]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="ordinal",
            field=models.PositiveSmallIntegerField(blank=True, editable=False, null=True),
        ),
        migrations.RunPython(number_running_attempts, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ordinal__isnull", False)),
                fields=("worker", "claim_id", "ordinal"),
                name="attempt_of_claim_once",
            ),
        ),
        migrations.RemoveIndex(model_name="attempt", name="attempt_by_claim"),
    ]
