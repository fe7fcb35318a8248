"""The admin site, and a view that runs in one transaction."""

from django.contrib import admin
from django.db import transaction
from django.http import JsonResponse
from django.urls import path
from shop.models import Book


@transaction.atomic
def sell(_request, book):
    """Sells a book: the row is locked while it is looked at."""
    found = Book.objects.select_for_update().get(pk=book)
    found.published = False
    found.save(update_fields=["published"])
    return JsonResponse({"sold": found.title})


urlpatterns = [path("admin/", admin.site.urls), path("sell/<int:book>/", sell)]
