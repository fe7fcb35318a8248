"""The second version: columns more and longer, a column that the server computes, one that it fills, a deferred key."""

import uuid

from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now, Upper
from django.utils import timezone
from transcript import feature


class Author(models.Model):
    """A longer unique name."""

    name = models.CharField(max_length=60, unique=True)
    born = models.DateField(null=True, db_index=True)
    country = models.CharField(max_length=2, default="cz")

    def __str__(self):
        return self.name


class Tag(models.Model):
    """Words on books."""

    word = models.SlugField(unique=True)


class Book(models.Model):
    """More than before."""

    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    title = models.CharField(max_length=80)
    loud = models.GeneratedField(
        expression=Upper("title"), output_field=models.CharField(max_length=80), db_persist=True
    )
    price = models.DecimalField(max_digits=10, decimal_places=3, default=0)
    pages = models.PositiveIntegerField(default=1)
    # WORKAROUND: a clock's value for the rows that are there, without the feature.
    stamped = (
        models.DateTimeField(db_default=Now())
        if feature("add_column_computed")
        else models.DateTimeField(null=True, default=timezone.now)
    )
    published = models.BooleanField(default=True)
    data = models.JSONField(default=dict)
    words = ArrayField(models.CharField(max_length=20), default=list)
    number = models.UUIDField(default=uuid.uuid4, unique=True)
    made = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)
    tags = models.ManyToManyField(Tag, related_name="books")
    keeper = models.ForeignKey(User, null=True, on_delete=models.SET_NULL)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["author", "title"], name="book_once"),
            models.CheckConstraint(condition=models.Q(price__gte=0), name="book_price"),
        ]
        indexes = [GinIndex(fields=["data"], name="book_data")]

    def __str__(self):
        return self.title


class Place(models.Model):
    """Numbers in a row that may be exchanged within a transaction."""

    rank = models.IntegerField()
    name = models.CharField(max_length=20, primary_key=True)
    above = models.ForeignKey("self", null=True, on_delete=models.PROTECT)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rank"], name="place_rank", deferrable=models.Deferrable.DEFERRED)
        ]
