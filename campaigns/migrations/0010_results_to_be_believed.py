import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# The script's whole line, with the loss as it was told, stays in the column `metrics`.
FORGET_LOSSES_BEYOND_SIZE = """
    UPDATE campaigns_result SET train_loss = NULL
    WHERE NOT (train_loss >= -1000000 AND train_loss <= 1000000)
"""


class Migration(migrations.Migration):
    """What a compressor reaches on a data set, and results that are not believed without a person.

    The job that measures data sets also judges the results stored before.
    """

    dependencies = [
        ("campaigns", "0009_wider_attempt_numbers"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="dataset",
            name="compressed_bpb",
            field=models.FloatField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="dataset",
            name="measured_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="result",
            name="admitted_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="result",
            name="admitted_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="result",
            name="implausible",
            field=models.BooleanField(default=False),
        ),
        migrations.AddConstraint(
            model_name="result",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("implausible", False),
                    models.Q(
                        ("diverged", False),
                        ("is_ranked", False),
                        ("simulated", False),
                        ("val_bpb__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="result_implausible_unranked",
            ),
        ),
        migrations.RunSQL(FORGET_LOSSES_BEYOND_SIZE, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="result",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("train_loss__isnull", True),
                    models.Q(("train_loss__gte", -1000000.0), ("train_loss__lte", 1000000.0)),
                    _connector="OR",
                ),
                name="result_train_loss_sane",
            ),
        ),
    ]
