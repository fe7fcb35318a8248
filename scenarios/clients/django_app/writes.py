"""What the application writes: objects, bulk, conflicts, transactions, locks, errors."""

import datetime

from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.db.models import F, ProtectedError, Value
from django.db.models.functions import Concat, Now
from shop.models import Author, Book, Place, Tag
from transcript import expect_error, feature, say, say_error


def objects():
    """save, get_or_create, update_or_create, relations."""
    ann = Author.objects.get(name="Ann")
    book = Book.objects.create(
        author=ann, title="first", price="1.250", data={"a": [1, None, "x"]}, words=["one", "two"]
    )
    book.refresh_from_db()
    say(
        "book",
        book.id,
        book.loud,
        book.price,
        book.data,
        book.words,
        book.stamped is not None,
        book.changed >= book.made,
    )
    found, made = Author.objects.get_or_create(name="Ann", defaults={"country": "xx"})
    say("get_or_create", found.id, made, Author.objects.get_or_create(name="Dan", defaults={"country": "us"})[1])
    changed, made = Book.objects.update_or_create(author=ann, title="first", defaults={"pages": 30})
    say(
        "update_or_create",
        changed.pages,
        made,
        Book.objects.update_or_create(author=ann, title="second", defaults={"pages": 40})[1],
    )
    tags = [Tag.objects.create(word=word) for word in ("old", "new", "rare")]
    book.tags.add(*tags)
    book.tags.remove(tags[0])
    book.tags.add(tags[1])
    say("tags", list(book.tags.order_by("word").values_list("word", flat=True)))
    book.tags.set([tags[0], tags[2]])
    say("tags set", list(book.tags.order_by("word").values_list("word", flat=True)))
    book.pages = F("pages") + 5
    book.save(update_fields=["pages"])
    book.refresh_from_db()
    say("expression", book.pages)
    book.pk = None
    book.title = "copy"
    book.number = "00000000-0000-0000-0000-000000000001"
    book.save()
    say("copied", Book.objects.filter(title="copy").count())


def bulk():
    """bulk_create in its forms, bulk_update, update, delete, in_bulk."""
    authors = Author.objects.bulk_create(
        [Author(name=f"bulk {n}", born=datetime.date(1900 + n % 90, 1, 1)) for n in range(250)], batch_size=100
    )
    say("bulk_create", len({a.pk for a in authors}))
    Author.objects.bulk_create([Author(name=f"bulk {n}") for n in range(245, 255)], ignore_conflicts=True)
    say("ignore_conflicts", Author.objects.filter(name__startswith="bulk").count())
    again = Author.objects.bulk_create(
        [Author(name=f"bulk {n}", country="fr") for n in range(250, 260)],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["country"],
    )
    say("update_conflicts", len(again), Author.objects.filter(country="fr").count())
    for author in authors[:40]:
        author.country, author.name = "it", author.name + "!"
    say("bulk_update", Author.objects.bulk_update(authors[:40], ["country", "name"], batch_size=15))
    say(
        "update",
        Author.objects.filter(born__year__lt=1910, name__startswith="bulk").update(
            name=Concat(F("name"), Value(" sr")), born=F("born") + datetime.timedelta(days=1)
        ),
    )
    say("update by relation", Book.objects.filter(author__name="Ann").update(stamped=Now(), pages=F("pages") * 2))
    Book.objects.bulk_create(
        [Book(author=a, title="b", number=f"00000000-0000-0000-0001-{n:012}") for n, a in enumerate(authors[:60])]
    )
    say("delete", Author.objects.filter(country="it", name__contains="1").delete())
    say("left", Author.objects.count(), Book.objects.count())
    say("in_bulk", sorted(Tag.objects.in_bulk(["old", "new"], field_name="word")))
    say(
        "raw delete", Book.objects.filter(title="b")._raw_delete("default") >= 0, Book.objects.filter(title="b").count()
    )


def atomic():
    """Nested blocks, errors in them, hooks, a block that is given up."""
    hooks = []
    with transaction.atomic():
        Tag.objects.create(word="outer")
        transaction.on_commit(lambda: hooks.append("outer"))
        for word in ("inner", "outer", "other"):
            try:
                with transaction.atomic():
                    transaction.on_commit(lambda word=word: hooks.append(word))
                    Tag.objects.create(word=word)
            except Exception as error:
                say_error(f"nested {word}", error)
        point = transaction.savepoint()
        Tag.objects.filter(word="other").delete()
        transaction.savepoint_rollback(point)
    say("hooks", hooks, list(Tag.objects.order_by("word").values_list("word", flat=True)))
    with transaction.atomic():
        Tag.objects.all().delete()
        transaction.set_rollback(True)
    say("rolled back", Tag.objects.count())
    with transaction.atomic(durable=True):

        def fail():
            Tag.objects.create(word="outer")

        expect_error("broken block", fail)
        expect_error("in a broken block", Tag.objects.count)
        transaction.set_rollback(True)


def locks():
    """select_for_update in its forms, between two connections."""
    with transaction.atomic():
        say("locked", [b.title for b in Book.objects.select_for_update().filter(title__in=["first", "second"])])
        with transaction.atomic(using="second"):

            def nowait():
                with transaction.atomic(using="second"):
                    return list(Book.objects.using("second").select_for_update(nowait=True).filter(title="first"))

            expect_error("nowait", nowait)
            say(
                "skip_locked",
                [b.title for b in Book.objects.using("second").select_for_update(skip_locked=True).order_by("id")[:3]],
            )
        say("no_key", Author.objects.select_for_update(no_key=True).get(name="Ann").name)
        if feature("for_update_of_join"):
            say(
                "of",
                [
                    b.author.name
                    for b in Book.objects.select_for_update(of=("self",)).select_related("author").filter(title="first")
                ],
            )
    expect_error("outside a transaction", lambda: list(Book.objects.select_for_update()))
    connections["second"].close()


def deferred():
    """Foreign keys are deferred in Django: a violation shows at COMMIT; a deferred unique key lets values be exchanged."""
    with transaction.atomic():
        Place.objects.create(name="b", rank=2, above_id="a")
        Place.objects.create(name="a", rank=1)
    with transaction.atomic():
        Place.objects.filter(name="a").update(rank=2)
        Place.objects.filter(name="b").update(rank=1)
    say("exchanged", list(Place.objects.order_by("rank").values_list("name", "rank")))

    def missing():
        with transaction.atomic():
            Place.objects.create(name="c", rank=3, above_id="nowhere")

    def twice():
        with transaction.atomic():
            Place.objects.create(name="d", rank=1)

    expect_error("deferred foreign key", missing)
    expect_error("deferred unique key", twice)
    try:
        Place.objects.get(name="a").delete()
    except ProtectedError as error:
        say("protected", [place.name for place in error.protected_objects])
    with transaction.atomic():
        connection.check_constraints()


def errors():
    """What the framework makes of each violation."""
    ann = Author.objects.get(name="Ann")
    for what, action in (
        ("unique", lambda: Author.objects.create(name="Ann")),
        ("not null", lambda: Author.objects.create(name=None)),
        ("check", lambda: Book.objects.create(author=ann, title="t", price=-1)),
        ("positive", lambda: Book.objects.create(author=ann, title="t", pages=-1)),
        ("too long", lambda: Author.objects.create(name="x" * 61)),
        ("overflow", lambda: Book.objects.filter(author=ann).update(price=10**9)),
        ("no such column", lambda: connection.cursor().execute("select nope from shop_author")),
        ("syntax", lambda: connection.cursor().execute("selec 1")),
        ("bad json", lambda: connection.cursor().execute("select '{'::jsonb")),
        ("division", lambda: connection.cursor().execute("select 1 / %s", [0])),
    ):
        expect_error(what, action)
    say("still there", Author.objects.filter(name="Ann").count())


def load():
    """COPY by the driver, and plain SQL with parameters."""
    with connection.cursor() as cursor:
        with cursor.copy("copy shop_tag (id, word) from stdin") as copy:
            for n in range(2000):
                copy.write_row((10000 + n, f"copied-{n}"))
        cursor.execute("select count(*), min(word), max(word) from shop_tag where id >= %s", [10000])
        say("copied", cursor.fetchone())
        cursor.executemany(
            "update shop_tag set word = %s where id = %s", [(f"again-{n}", 10000 + n) for n in range(50)]
        )
        cursor.execute("delete from shop_tag where id >= 10100 returning id")
        say("deleted", len(cursor.fetchall()))
        say("callproc", cursor.callproc("upper", ["x"]), cursor.fetchone())
    if feature("listen"):
        listening = connections["second"]
        listening.cursor().execute("listen books")
        with transaction.atomic():
            connection.cursor().execute("select pg_notify('books', 'sold')")
        say("heard", [(one.channel, one.payload) for one in listening.connection.notifies(timeout=10, stop_after=1)])
        listening.close()
    if feature("advisory_locks"):
        with connection.cursor() as cursor:
            cursor.execute("select pg_try_advisory_lock(77)")
            say("advisory", cursor.fetchone())
            cursor.execute("select pg_advisory_unlock(77)")
            say("unlocked", cursor.fetchone())
    if feature("temporary_tables"):
        with connection.cursor() as cursor:
            cursor.execute("create temporary table staged as select id from shop_book")
            cursor.execute("select count(*) > 0 from staged")
            say("staged", cursor.fetchone())


def users():
    """Users, groups, permissions."""
    from django.contrib.auth.models import Group, Permission

    user = User.objects.create_user("reader", "reader@example.org", "secret")
    group = Group.objects.create(name="readers")
    group.permissions.set(Permission.objects.filter(content_type__app_label="shop", codename__startswith="view_"))
    user.groups.add(group)
    say("permissions", sorted(User.objects.get(username="reader").get_all_permissions()))
    Book.objects.filter(title="first").update(keeper=user)
    user.delete()
    say("set null", Book.objects.get(title="first").keeper)


PARTS = [objects, bulk, atomic, locks, deferred, errors, load, users]
