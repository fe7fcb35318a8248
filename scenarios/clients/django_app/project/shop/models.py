"""The first version of the shop; main.py puts models_second.py in its place later, as a developer would."""

import uuid

from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class Author(models.Model):
    """A unique name."""

    name = models.CharField(max_length=40, unique=True)
    born = models.DateField(null=True)

    def __str__(self):
        return self.name


class Tag(models.Model):
    """Words on books."""

    word = models.SlugField(unique=True)


class Book(models.Model):
    """JSON, arrays, checks, clocks."""

    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    title = models.CharField(max_length=80)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
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
        indexes = [
            GinIndex(fields=["data"], name="book_data"),
            models.Index(fields=["title"], name="book_published", condition=models.Q(published=True)),
        ]

    def __str__(self):
        return self.title
