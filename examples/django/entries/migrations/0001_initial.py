"""The table of entries."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Create it."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Entry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                ("message", models.CharField(max_length=500)),
                ("attachment", models.FileField(blank=True, upload_to="")),
                (
                    "visitor",
                    models.GenericIPAddressField(
                        editable=False, null=True, verbose_name="visitor's address"
                    ),
                ),
                ("written", models.DateTimeField(auto_now_add=True)),
            ],
            options={"verbose_name_plural": "entries", "ordering": ("-pk",)},
        ),
    )
