from django.db import migrations, models


class Migration(migrations.Migration):
    """Which name a machine with an invitation may not have, for the page that waits for it."""

    dependencies = [("workers", "0010_pauses_by_the_owner")]

    operations = [
        migrations.AddField(
            model_name="enrolmenttoken",
            name="refused_name",
            field=models.CharField(blank=True, default="", editable=False, max_length=100),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="enrolmenttoken",
            name="refusal",
            field=models.CharField(blank=True, default="", editable=False, max_length=200),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="enrolmenttoken",
            name="refused_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
