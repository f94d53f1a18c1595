import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    """Races between arms, and what each of their looks decided."""

    dependencies = [
        ("campaigns", "0013_tasks_belong_to_arms"),
    ]

    operations = [
        migrations.CreateModel(
            name="Decision",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("look", models.PositiveSmallIntegerField(help_text="From 1, in the race.")),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("champion", "Champion"),
                            ("tie", "Tie"),
                            ("none feasible", "None Feasible"),
                            ("cancelled", "Cancelled"),
                        ],
                        help_text="Empty when the race goes on.",
                        max_length=16,
                    ),
                ),
                ("why", models.CharField(max_length=200)),
                ("n", models.PositiveIntegerField()),
                ("estimate", models.FloatField(blank=True, null=True)),
                ("scale", models.FloatField(blank=True, null=True)),
                ("df", models.FloatField()),
                ("bound", models.FloatField(blank=True, null=True)),
                ("group", models.JSONField()),
                ("behind", models.JSONField()),
                ("dropped", models.JSONField()),
                ("infeasible", models.JSONField()),
                ("seeds_to_separate", models.PositiveIntegerField(blank=True, null=True)),
                ("saw", models.JSONField()),
                ("decided_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["race_id", "look"],
            },
        ),
        migrations.CreateModel(
            name="Race",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField(help_text="From 1, in the campaign.")),
                ("arms", models.JSONField()),
                ("seeds", models.JSONField()),
                ("floor_sd", models.FloatField(blank=True, null=True)),
                ("floor_pairs", models.PositiveIntegerField(default=0)),
                ("runs_allowed", models.PositiveIntegerField()),
                ("min_effect", models.FloatField()),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("champion", "Champion"),
                            ("tie", "Tie"),
                            ("none feasible", "None Feasible"),
                            ("cancelled", "Cancelled"),
                        ],
                        max_length=16,
                    ),
                ),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["campaign_id", "number"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="task",
            name="task_purpose_known",
        ),
        migrations.AlterField(
            model_name="task",
            name="purpose",
            field=models.CharField(
                choices=[
                    ("screen", "Screen"),
                    ("repeat", "Repeat"),
                    ("race", "Race"),
                    ("replay", "Replay"),
                ],
                default="screen",
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=models.Q(("purpose__in", ["screen", "repeat", "race", "replay"])),
                name="task_purpose_known",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="leader",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="campaigns.arm",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="rival",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="campaigns.arm",
            ),
        ),
        migrations.AddField(
            model_name="race",
            name="campaign",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="races",
                to="campaigns.campaign",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="race",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="decisions",
                to="campaigns.race",
            ),
        ),
        migrations.AddIndex(
            model_name="race",
            index=models.Index(
                condition=models.Q(("outcome", "")), fields=["campaign"], name="race_running"
            ),
        ),
        migrations.AddConstraint(
            model_name="race",
            constraint=models.UniqueConstraint(
                fields=("campaign", "number"), name="race_number_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="race",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("outcome__in", ["", "champion", "tie", "none feasible", "cancelled"])
                ),
                name="race_outcome_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="race",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("outcome", "")),
                    models.Q(models.Q(("outcome", ""), _negated=True), ("ended_at__isnull", False)),
                    _connector="OR",
                ),
                name="race_ended_has_outcome",
            ),
        ),
        migrations.AddConstraint(
            model_name="race",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("min_effect__gte", 0),
                    ("min_effect__lt", 1000000.0),
                    models.Q(
                        ("floor_sd__isnull", True),
                        models.Q(("floor_sd__gte", 0), ("floor_sd__lt", 1000000.0)),
                        _connector="OR",
                    ),
                ),
                name="race_numbers_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.UniqueConstraint(fields=("race", "look"), name="decision_look_once"),
        ),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("outcome__in", ["", "champion", "tie", "none feasible", "cancelled"])
                ),
                name="decision_outcome_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="decision",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("outcome", "champion"), _negated=True),
                    ("leader__isnull", False),
                    _connector="OR",
                ),
                name="decision_champion_leads",
            ),
        ),
    ]
