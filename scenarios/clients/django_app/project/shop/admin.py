"""Books in the admin site."""

from django.contrib import admin
from shop.models import Author, Book

admin.site.register(Author)


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    """With search, filters and a hierarchy of dates."""

    list_display = ["title", "author", "price"]
    list_filter = ["published", "author"]
    search_fields = ["title", "author__name"]
    date_hierarchy = "made"
