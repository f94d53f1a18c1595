import django.db.models.deletion
from django.db import migrations, models

# What is known of the states from before the journal was kept: how each row came to where it is,
# not every step. In SQL, because 100,000 tasks must not pass through Python; the same on both
# databases. A draft, and a task that waits, needs no row.
INSERT = """
    INSERT INTO campaigns_statechange (
        subject, campaign_id, task_id, attempt_id, from_state, to_state, at,
        actor_kind, actor_name, reason
    )
    SELECT known.*, 'system', 'migration', 'From before the journal was kept.' FROM (
"""
IN_ORDER = ") known ORDER BY campaign_id, task_id, attempt_id"

KNOWN = [
    """
    SELECT 'campaign', id AS campaign_id, CAST(NULL AS bigint) AS task_id,
        CAST(NULL AS bigint) AS attempt_id, 'draft', state,
        COALESCE(finished_at, paused_at, resumed_at, launched_at, created_at)
    FROM campaigns_campaign
    WHERE state <> 'draft'
    """,
    """
    SELECT 'attempt', task.campaign_id, task.id AS task_id, attempt.id AS attempt_id,
        '', 'running', attempt.started_at
    FROM campaigns_attempt attempt JOIN campaigns_task task ON task.id = attempt.task_id
    """,
    """
    SELECT 'attempt', task.campaign_id, task.id AS task_id, attempt.id AS attempt_id,
        'running', attempt.outcome, attempt.ended_at
    FROM campaigns_attempt attempt JOIN campaigns_task task ON task.id = attempt.task_id
    WHERE attempt.outcome <> 'running'
    """,
    """
    SELECT 'task', task.campaign_id, task.id AS task_id,
        COALESCE(result.attempt_id, attempt.id) AS attempt_id,
        '', task.state, COALESCE(task.finished_at, attempt.started_at)
    FROM campaigns_task task
    LEFT JOIN campaigns_result result ON result.task_id = task.id
    LEFT JOIN campaigns_attempt attempt
        ON attempt.task_id = task.id AND attempt.outcome = 'running'
    WHERE task.state <> 'pending'
    """,
]


class Migration(migrations.Migration):
    """The journal of state changes, begun with where everything stands."""

    dependencies = [("campaigns", "0003_indexes_of_large_campaigns")]

    operations = [
        migrations.CreateModel(
            name="StateChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "subject",
                    models.CharField(
                        choices=[
                            ("campaign", "Campaign"),
                            ("task", "Task"),
                            ("attempt", "Attempt"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "actor_kind",
                    models.CharField(
                        choices=[("person", "Person"), ("worker", "Worker"), ("system", "System")],
                        max_length=10,
                    ),
                ),
                ("actor_name", models.CharField(max_length=150)),
                ("from_state", models.CharField(blank=True, max_length=16)),
                ("to_state", models.CharField(max_length=16)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("at", models.DateTimeField()),
                (
                    "attempt",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="changes",
                        to="campaigns.attempt",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="changes",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="changes",
                        to="campaigns.task",
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("task__isnull", False)),
                        fields=["task", "id"],
                        name="change_by_task",
                    ),
                    models.Index(
                        condition=models.Q(("attempt__isnull", False)),
                        fields=["attempt"],
                        name="change_by_attempt",
                    ),
                    models.Index(fields=["campaign", "id"], name="change_by_campaign"),
                    models.Index(
                        condition=models.Q(("subject", "campaign")),
                        fields=["campaign", "-at", "-id"],
                        name="change_of_campaign",
                    ),
                    models.Index(fields=["-at", "-id"], name="change_newest"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("attempt__isnull", True),
                                ("subject", "campaign"),
                                ("task__isnull", True),
                            ),
                            models.Q(("subject", "task"), ("task__isnull", False)),
                            models.Q(
                                ("attempt__isnull", False),
                                ("subject", "attempt"),
                                ("task__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="change_names_its_subject",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("actor_kind__in", ["person", "worker", "system"])),
                        name="change_actor_known",
                    ),
                ],
            },
        ),
        *[migrations.RunSQL(INSERT + known + IN_ORDER, migrations.RunSQL.noop) for known in KNOWN],
    ]
