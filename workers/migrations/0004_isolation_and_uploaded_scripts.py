"""How well a worker holds scripts back, and whether it runs uploaded ones."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds two columns; existing workers have said nothing, which counts as the least."""

    dependencies = [("workers", "0003_people_who_ask")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="isolation",
            field=models.CharField(
                blank=True, choices=[("T0", "T0"), ("T1", "T1")], default="", max_length=8
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="worker",
            name="accepts_uploaded_scripts",
            field=models.BooleanField(default=False),
        ),
        migrations.AddConstraint(
            model_name="worker",
            constraint=models.CheckConstraint(
                condition=models.Q(("isolation__in", ["", "T0", "T1"])),
                name="worker_isolation_known",
            ),
        ),
    ]
