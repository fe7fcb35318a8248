"""An index, built beside writers where that is switched on; such a migration is not atomic."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from transcript import feature

INDEX = models.Index(fields=["pages"], name="book_pages")


class Migration(migrations.Migration):
    """After the migration by hand."""

    atomic = not feature("concurrently")
    dependencies = [("shop", "0003_by_hand")]
    operations = [
        AddIndexConcurrently("book", INDEX) if feature("concurrently") else migrations.AddIndex("book", INDEX)
    ]
