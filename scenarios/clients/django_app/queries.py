"""What the application reads."""

from django.contrib.postgres.aggregates import ArrayAgg, StringAgg
from django.contrib.postgres.search import SearchQuery, SearchVector, TrigramSimilarity
from django.db import connection, transaction
from django.db.models import Avg, Case, Count, Exists, F, OuterRef, Prefetch, Q, Subquery, Sum, Value, When, Window
from django.db.models.functions import ExtractYear, RowNumber, TruncYear
from shop.models import Author, Book, Tag
from transcript import say


def relations():
    """Joins and prefetches."""
    books = Book.objects.select_related("author", "keeper").filter(author__country="de")
    say("select_related", [(b.title, b.author.name) for b in books])
    authors = Author.objects.prefetch_related(Prefetch("books", Book.objects.order_by("-title")), "books__tags").filter(
        name__in=["Ann", "Bob"]
    )
    say(
        "prefetch_related",
        [(a.name, [(b.title, len(b.tags.all())) for b in a.books.all()]) for a in authors.order_by("name")],
    )
    say("reverse", Author.objects.filter(books__tags__word="rare").distinct().count())


def expressions():
    """Aggregates, windows, subqueries, cases, set operations."""
    say("aggregate", Book.objects.aggregate(n=Count("id"), sum=Sum("pages"), avg=Avg("price")))
    counted = Author.objects.annotate(n=Count("books"), big=Count("books", filter=Q(books__pages__gt=50))).filter(
        n__gt=0
    )
    say("annotate", list(counted.order_by("name").values_list("name", "n", "big")))
    last = Book.objects.filter(author=OuterRef("pk")).order_by("-id").values("title")[:1]
    say(
        "subquery",
        list(
            Author.objects.annotate(last=Subquery(last))
            .filter(last__isnull=False)
            .order_by("id")
            .values_list("id", "last")
        ),
    )
    say("exists", Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("pk"), price__gt=1))).count())
    ranked = Book.objects.annotate(row=Window(RowNumber(), partition_by=F("author"), order_by=F("title").asc()))
    say("window", list(ranked.order_by("id").values_list("id", "row")))
    kind = Case(When(pages__gt=50, then=Value("long")), default=Value("short"))
    say("case", list(Book.objects.annotate(kind=kind).values("kind").annotate(n=Count("id")).order_by("kind")))
    union = (
        Author.objects.filter(id__lt=3).values_list("name").union(Tag.objects.filter(word="old").values_list("word"))
    )
    say("union", list(union.order_by("name")))
    say(
        "dates",
        list(Author.objects.dates("born", "year")[:3]),
        list(Author.objects.annotate(y=TruncYear("born")).values_list("y").distinct().order_by("y")[:2]),
    )
    say("extract", Author.objects.annotate(y=ExtractYear("born")).filter(y=1950).count())


def postgres():
    """JSON, arrays, full text, similarity, aggregates of PostgreSQL."""
    say(
        "json",
        list(Book.objects.filter(data__a__0=1).order_by("id").values_list("title", "data__a")),
        Book.objects.filter(data__has_key="pages").count(),
    )
    say(
        "array",
        list(Book.objects.filter(words__contains=["two"]).values_list("title", "words__0")),
        Book.objects.filter(words__len=2).count(),
    )
    say(
        "search",
        list(
            Book.objects.annotate(s=SearchVector("title", config="english"))
            .filter(s=SearchQuery("works", config="english"))
            .order_by("id")
            .values_list("title", flat=True)
        ),
    )
    say(
        "similar",
        list(
            Author.objects.annotate(s=TrigramSimilarity("name", "Anne"))
            .filter(s__gt=0.3)
            .order_by("name")
            .values_list("name", flat=True)
        ),
    )
    say(
        "aggregates",
        list(
            Book.objects.values("author__name")
            .annotate(t=ArrayAgg("title", order_by="title"), s=StringAgg("loud", ";", order_by="loud"))
            .order_by("author__name")
        ),
    )
    say(
        "regex",
        Author.objects.filter(name__iregex="^b.*9$").count(),
        Author.objects.filter(name__icontains="NN").count(),
    )


def iterating():
    """Pieces: slices, iterator(), exists, first and last, none."""
    names = Author.objects.order_by("name")
    say(
        "slices", list(names.values_list("name", flat=True)[3:6]), names.first().name, names.last().name, names.exists()
    )
    say("iterator", sum(1 for _ in Author.objects.iterator(chunk_size=20)))
    # In autocommit its cursor is WITH HOLD: it goes on beside writes, and the transactions of others.
    pieces = names.values_list("pk", "name").iterator(chunk_size=2)
    first = [next(pieces) for _ in range(3)]
    with transaction.atomic():
        Author.objects.filter(pk=first[0][0]).update(name="Renamed")
        second = [next(pieces)[1] for _ in range(2)]
    rest = [name for _, name in pieces]
    Author.objects.filter(pk=first[0][0]).update(name=first[0][1])
    say("iterator beside writes", [name for _, name in first], second, len(rest), "Renamed" in rest)
    left = names.iterator(chunk_size=2)
    say("iterator left behind", next(left).name)
    left.close()
    say("raw", [a.name for a in Author.objects.raw("select * from shop_author where country = %s order by id", ["de"])])
    say("explain", Book.objects.filter(pk=1).explain().splitlines()[0].split("  ")[0])
    with connection.cursor() as cursor:
        say("introspection", [(t.name, t.type) for t in sorted(connection.introspection.get_table_list(cursor))])
        say("constraints", sorted(connection.introspection.get_constraints(cursor, "shop_book")))


PARTS = [relations, expressions, postgres, iterating]
