"""manage.py's commands on a database that is in use, and the site's pages."""

import io
import json
from pathlib import Path

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.db import connection
from shop.models import Author, Book, Tag
from transcript import feature, say


def manage(*arguments, **options):
    """Runs a command in this process; what it prints is a line of the transcript."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=out, no_color=True, **options)
    return out.getvalue().splitlines()


def cached():
    """The cache in a table of the database."""
    manage("createcachetable")
    cache.set("a", {"x": 1}, 1000)
    cache.set("a", {"x": 2}, 1000)
    cache.set_many({"b": 1, "c": 2}, 1000)
    say(
        "cache",
        cache.get("a"),
        cache.add("a", 5),
        cache.incr("b"),
        cache.get_many(["b", "c", "d"]),
        cache.touch("c", 50),
        cache.delete("c"),
        cache.get("c"),
    )
    cache.clear()
    say("cleared", cache.get("a"))


def pages():
    """Log in, the lists and forms of the admin site, a view in a transaction."""
    manage("createsuperuser", "--noinput", "--username", "boss", "--email", "boss@example.org")
    boss = User.objects.get(username="boss")
    boss.set_password("secret")
    boss.save()
    setup_test_environment()
    client = Client()
    say(
        "log in",
        client.login(username="boss", password="wrong"),
        client.login(username="boss", password="secret"),
        Session.objects.count(),
    )
    for page in (
        "/admin/",
        "/admin/shop/book/?q=first",
        "/admin/shop/book/?published__exact=1",
        "/admin/shop/author/1/change/",
        "/admin/auth/user/",
    ):
        say(page, client.get(page).status_code)
    added = client.post("/admin/shop/author/add/", {"name": "by form", "country": "gb", "born": "1999-09-09"})
    say("added", added.status_code, Author.objects.get(name="by form").born)
    again = client.post("/admin/shop/author/add/", {"name": "by form", "country": "gb"})
    say("again", again.status_code, [list(errors) for errors in again.context["adminform"].form.errors.values()])
    gone = client.post(f"/admin/shop/author/{Author.objects.get(name='by form').pk}/delete/", {"post": "yes"})
    say("deleted", gone.status_code, Author.objects.filter(name="by form").exists())
    book = Book.objects.get(title="first")
    say("sold", client.get(f"/sell/{book.pk}/").json(), Book.objects.get(pk=book.pk).published)
    client.logout()
    say("log out", Session.objects.count(), client.get("/admin/").status_code)
    manage("clearsessions")


def fixtures():
    """dumpdata, loaddata over what is there, flush."""
    dumped = json.loads("\n".join(manage("dumpdata", "shop.tag", "shop.author")))
    say("dumped", len(dumped))
    if not feature("setval_of_query"):
        return
    Path("dump.json").write_text(json.dumps(dumped))
    Tag.objects.filter(word__startswith="again").delete()
    say("loaded", manage("loaddata", "dump.json"))
    say("after", Tag.objects.filter(word__startswith="again").count())
    say("next key", Tag.objects.create(word="next").pk > max(row["pk"] for row in dumped if row["model"] == "shop.tag"))


def looking():
    """Commands that only read."""
    say("inspectdb", manage("inspectdb", "shop_book", "shop_place"))
    say("sqlmigrate", manage("sqlmigrate", "shop", "0002"))
    say("check", manage("check", databases=["default"]))
    say("makemigrations", manage("makemigrations", "--dry-run"))
    say("sqlflush", sorted(manage("sqlflush")))
    reset = manage("sqlsequencereset", "shop")
    say("sqlsequencereset", reset)
    if feature("setval_of_query"):
        with connection.cursor() as cursor:
            cursor.execute("\n".join(reset))
    with CaptureQueriesContext(connection) as seen:
        Book.objects.filter(title="first").first()
    say("queries", [query["sql"] for query in seen.captured_queries])


def flush():
    """Everything is emptied, keys begin anew; content types come back."""
    manage("flush", "--noinput")
    say("empty", Author.objects.count(), User.objects.count())
    say("first key", Author.objects.create(name="after").pk)


PARTS = [cached, pages, fixtures, looking, flush]
