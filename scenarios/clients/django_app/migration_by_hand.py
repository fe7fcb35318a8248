"""Code, SQL and an extension in a migration."""

from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations


def fill(apps, _editor):
    """Rows by the historical models."""
    author, book = apps.get_model("shop", "Author"), apps.get_model("shop", "Book")
    for found in author.objects.order_by("id"):
        book.objects.create(author=found, title=f"collected works of {found.name}", pages=found.id * 100)


def empty(apps, _editor):
    """The way back."""
    apps.get_model("shop", "Book").objects.filter(title__startswith="collected works").delete()


class Migration(migrations.Migration):
    """After what makemigrations wrote."""

    dependencies = [("shop", "0002_second")]
    operations = [
        TrigramExtension(),
        migrations.RunPython(fill, empty),
        migrations.RunSQL(
            [
                "update shop_book set data = jsonb_build_object('pages', pages) where pages > 1",
                ("update shop_author set country = %s where id = 1", ["de"]),
            ],
            reverse_sql="update shop_author set country = 'cz' where id = 1",
        ),
    ]
