import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Notes on arms and tasks."""

    dependencies = [
        ("campaigns", "0023_slow_setups"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Note",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("text", models.TextField(blank=True, max_length=2000)),
                ("author_name", models.CharField(blank=True, max_length=150)),
                ("edits", models.PositiveIntegerField(default=0)),
                ("edited_at", models.DateTimeField()),
                (
                    "arm",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="note",
                        to="campaigns.arm",
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notes",
                        to="campaigns.campaign",
                    ),
                ),
                (
                    "task",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="note",
                        to="campaigns.task",
                    ),
                ),
            ],
            options={
                "ordering": ["campaign_id", "-edited_at", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("arm__isnull", False), ("task__isnull", True)),
                            models.Q(("arm__isnull", True), ("task__isnull", False)),
                            _connector="OR",
                        ),
                        name="note_of_arm_or_task",
                    )
                ],
            },
        ),
    ]
