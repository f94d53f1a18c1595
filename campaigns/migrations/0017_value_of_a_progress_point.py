from django.db import migrations


class Migration(migrations.Migration):
    """A progress point's value of any metric."""

    dependencies = [("campaigns", "0016_metric_of_a_campaign")]

    operations = [
        migrations.RenameField(model_name="progresspoint", old_name="val_bpb", new_name="value"),
    ]
