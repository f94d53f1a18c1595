import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Every task has an arm, and an arm runs once on a seed."""

    dependencies = [("campaigns", "0012_arms_of_old_tasks")]

    operations = [
        migrations.AlterField(
            model_name="task",
            name="arm",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="tasks",
                to="campaigns.arm",
            ),
        ),
        migrations.RemoveField(model_name="task", name="params_sha256"),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=models.Q(("purpose__in", ["screen", "repeat", "replay"])),
                name="task_purpose_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.UniqueConstraint(
                condition=models.Q(("purpose", "replay"), _negated=True),
                fields=("arm", "seed"),
                name="task_seed_once",
            ),
        ),
    ]
