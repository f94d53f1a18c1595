import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    """Arms, and the place of each task's seed in its campaign's list; the next migration fills them."""

    dependencies = [
        ("campaigns", "0010_results_to_be_believed"),
        ("workers", "0005_programs_without_their_person"),
    ]

    operations = [
        migrations.CreateModel(
            name="Arm",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "number",
                    models.PositiveIntegerField(
                        help_text="From 0, as the arms joined the campaign."
                    ),
                ),
                ("params", models.JSONField()),
                ("params_sha256", models.CharField(max_length=64)),
                (
                    "origin",
                    models.CharField(
                        choices=[("sampled", "Sampled"), ("enqueued", "Enqueued")],
                        default="sampled",
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "campaign",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="arms",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "package",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="arms",
                        to="campaigns.package",
                    ),
                ),
            ],
            options={"ordering": ["campaign_id", "number"]},
        ),
        migrations.AddConstraint(
            model_name="arm",
            constraint=models.CheckConstraint(
                condition=models.Q(("origin__in", ["sampled", "enqueued"])), name="arm_origin_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="arm",
            constraint=models.UniqueConstraint(
                fields=("campaign", "number"), name="arm_number_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="arm",
            constraint=models.UniqueConstraint(
                fields=("campaign", "package", "params_sha256"), name="arm_params_once"
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="shares_seeds",
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name="campaign",
            name="draws",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.RemoveConstraint(model_name="task", name="task_point_once"),
        migrations.AddField(
            model_name="task",
            name="arm",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="tasks",
                to="campaigns.arm",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="seed_index",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="purpose",
            field=models.CharField(
                choices=[("screen", "Screen"), ("repeat", "Repeat"), ("replay", "Replay")],
                default="screen",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="number",
            field=models.PositiveIntegerField(
                help_text="From 0, in the order of the tasks' creation."
            ),
        ),
        # With a default, so that the way back can add the column before it is filled.
        migrations.AlterField(
            model_name="task",
            name="params_sha256",
            field=models.CharField(default="", max_length=64),
        ),
    ]
