"""The shop by the object-relational mapper: units of work, relationships, versions, locks, nested transactions."""

import datetime
import decimal
import uuid

from models import Asset, Author, Base, Book, Booking, Category, Company, Party, Person, Status, Tag
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import Session, aliased, contains_eager, joinedload, selectinload, with_polymorphic
from transcript import expect_error, feature, say, say_error

UTC = datetime.timezone.utc


class Orm:
    """The parts, each with a fresh session."""

    def __init__(self, engine):
        self.engine = engine

    def parts(self):
        """In the order in which they build on each other."""
        return [
            self.create,
            self.unit_of_work,
            self.queries,
            self.stale_versions,
            self.savepoints,
            self.bulk,
            self.locks,
            self.serialization,
            self.inheritance,
            self.tree,
            self.server_keys,
            self.deferred,
            self.errors,
            self.cascades,
            self.merge_and_refresh,
        ]

    def session(self, **options):
        """A new unit of work."""
        return Session(self.engine, **options)

    def create(self):
        """create_all, twice: the second time it only looks."""
        Base.metadata.create_all(self.engine)
        Base.metadata.create_all(self.engine)
        say("tables", sorted(Base.metadata.tables))

    def unit_of_work(self):
        """Objects that hang together are written in one flush, in the order of their foreign keys."""
        with self.session() as session, session.begin():
            for number in range(5):
                author = Author(name=f"author {number}", born=datetime.date(1900 + number, 1, 2))
                for volume in range(number + 1):
                    book = Book(
                        title=f"volume {volume}",
                        price=decimal.Decimal(volume) + decimal.Decimal("0.25"),
                        facts={"pages": 100 * volume, "parts": [volume, None]},
                        words=["a", f"w{volume}"],
                    )
                    author.books.append(book)
                session.add(author)
            session.flush()
            say(
                "ids",
                [(a.id, a.name, [b.id for b in a.books]) for a in session.scalars(select(Author).order_by(Author.id))],
            )
        with self.session() as session, session.begin():
            words = [Tag(word=word) for word in ("old", "new", "rare")]
            for book in session.scalars(select(Book).order_by(Book.id)):
                book.tags = words[: book.id % 4]
                book.status = Status.SOLD if book.id % 3 == 0 else Status.DRAFT
        with self.session() as session:
            books = session.scalars(select(Book).order_by(Book.id).options(selectinload(Book.tags)))
            say(
                "books",
                [
                    (b.id, b.title, b.price, b.gross, b.status.name, b.facts, b.words, b.version, list(b.tag_words))
                    for b in books
                ],
            )
            author = session.scalars(select(Author).where(Author.name == "author 1")).one()
            say("defaults of the server", author.made.tzinfo is not None, author.changed)
            author.name = "author one"
            session.commit()
            say("changed after made", author.changed >= author.made)

    def queries(self):
        """Joins, loading strategies, aggregates, windows, JSON and array operators."""
        with self.session() as session:
            joined = (
                select(Author)
                .join(Author.books)
                .where(Book.price > 1)
                .options(contains_eager(Author.books))
                .order_by(Author.id, Book.id)
            )
            say("contains_eager", [(a.name, [b.title for b in a.books]) for a in session.scalars(joined).unique()])
        with self.session() as session:
            eager = select(Book).options(joinedload(Book.author), joinedload(Book.tags)).order_by(Book.id).limit(4)
            say("joinedload", [(b.author.name, b.label, len(b.tags)) for b in session.scalars(eager).unique()])
            counts = (
                select(Author.name, func.count(Book.id), func.sum(Book.gross))
                .outerjoin(Book)
                .group_by(Author.name)
                .order_by(Author.name)
            )
            say("group by", session.execute(counts).all())
            window = select(
                Book.id, func.row_number().over(partition_by=Book.author_id, order_by=Book.price.desc())
            ).order_by(Book.id)
            say("window", session.execute(window).all())
            facts = select(Book.id).where(Book.facts["pages"].as_integer() >= 200).order_by(Book.id)
            say(
                "json",
                session.scalars(facts).all(),
                session.scalars(select(Book.id).where(Book.facts.contains({"pages": 0})).order_by(Book.id)).all(),
            )
            say(
                "array",
                session.scalars(select(Book.id).where(Book.words.contains(["w3"])).order_by(Book.id)).all(),
                session.scalars(select(func.unnest(Book.words)).where(Book.id == 2)).all(),
            )
            older, newer = aliased(Author), aliased(Author)
            pairs = (
                select(older.id, newer.id).join(newer, older.born < newer.born).order_by(older.id, newer.id).limit(3)
            )
            say("self join", session.execute(pairs).all())
            exists = select(func.count()).select_from(Author).where(~Author.books.any(Book.status == Status.SOLD))
            say("exists", session.scalar(exists))
            streamed = session.scalars(select(Book.id).order_by(Book.id).execution_options(yield_per=4))
            say("server-side cursor", [list(part) for part in streamed.partitions()])

    def stale_versions(self):
        """An object that somebody else changed meanwhile is not overwritten."""
        with self.session() as first, self.session() as second:
            mine, theirs = first.get(Book, 1), second.get(Book, 1)
            mine.title = "mine"
            first.commit()
            theirs.title = "theirs"
            expect_error("stale", second.commit)
        with self.session() as session:
            book = session.get(Book, 1)
            say("kept", book.title, book.version)

    def savepoints(self):
        """Nested transactions: one is undone, the outer one stays."""
        with self.session() as session, session.begin():
            session.add(Author(name="outer"))
            for name in ("nested", "outer", "author 0", "another"):
                try:
                    with session.begin_nested():
                        session.add(Author(name=name))
                except Exception as error:
                    say_error(f"nested {name}", error)
            with session.begin_nested() as nested:
                session.execute(delete(Author).where(Author.name == "another"))
                nested.rollback()
        with self.session() as session:
            say("authors", session.scalars(select(Author.name).order_by(Author.name)).all())
            session.add(Author(name="never"))
            session.flush()
            session.rollback()
            say("rolled back", session.scalar(select(func.count()).where(Author.name == "never")))

    def bulk(self):
        """Bulk insert with generated keys, bulk update by key, updates and deletes by condition, insert from select."""
        with self.session() as session, session.begin():
            made = session.scalars(
                insert(Author).returning(Author, sort_by_parameter_order=True),
                [{"name": f"bulk {n}", "born": None} for n in range(300)],
            )
            ids = [author.id for author in made]
            say("bulk insert", len(ids), ids == sorted(ids), ids[-1] - ids[0])
            session.execute(update(Author), [{"id": i, "name": f"renamed {i - ids[0]}"} for i in ids[:50]])
            changed = session.execute(
                update(Author).where(Author.name.like("renamed 1%")).values(born=datetime.date(2000, 1, 1))
            )
            say("update by condition", changed.rowcount)
            changed = session.scalars(
                update(Author).where(Author.name == "renamed 2").values(name=Author.name + "!").returning(Author.name)
            ).all()
            say("update returning", changed)
            session.execute(
                insert(Book).from_select(
                    ["author_id", "title", "price", "version"],
                    select(Author.id, "the " + Author.name, Author.id * 0, 1)
                    .where(Author.name.like("renamed 1%"))
                    .order_by(Author.id),
                )
            )
            say("insert from select", session.scalar(select(func.count()).where(Book.title.like("the renamed%"))))
            gone = session.execute(delete(Author).where(Author.name.like("bulk %")))
            say("delete by condition", gone.rowcount)
            gone = session.execute(
                delete(Book)
                .where(Book.title.like("the renamed 10"), Book.author_id == Author.id)
                .execution_options(synchronize_session=False)
            )
            say("delete using", gone.rowcount)
        with self.session() as session, session.begin():
            objects = [Tag(word=f"tag {n}") for n in range(100)]
            session.add_all(objects)
            session.flush()
            say("add_all", len({tag.id for tag in objects}))
            session.bulk_update_mappings(Tag, [{"id": tag.id, "word": tag.word + "."} for tag in objects[:10]])
        with self.session() as session:
            say("tags", session.scalar(select(func.count()).select_from(Tag).where(Tag.word.like("%."))))

    def locks(self):
        """SELECT … FOR UPDATE and its forms, between two sessions."""
        with self.session() as first, self.session() as second:
            locked = first.scalars(select(Book).where(Book.id.in_([1, 2])).order_by(Book.id).with_for_update()).all()
            say("locked", [b.id for b in locked])
            expect_error(
                "nowait", lambda: second.scalars(select(Book).where(Book.id == 1).with_for_update(nowait=True)).all()
            )
            second.rollback()
            free = second.scalars(
                select(Book).where(Book.id <= 4).order_by(Book.id).with_for_update(skip_locked=True)
            ).all()
            say("skip locked", [b.id for b in free])
            second.execute(text("set local lock_timeout = '50ms'"))
            expect_error("lock timeout", lambda: second.execute(update(Book).where(Book.id == 2).values(price=9)))
            second.rollback()
            shared = first.scalars(
                select(Author).where(Author.id == 1).with_for_update(read=True, key_share=True)
            ).one()
            say("key share", shared.id)
            joined = select(Book).join(Book.author).where(Author.id == 2).order_by(Book.id)
            if feature("for_update_of_join"):
                say("for update of a join", [b.id for b in first.scalars(joined.with_for_update(of=Book))])
            first.commit()

    def serialization(self):
        """REPEATABLE READ and SERIALIZABLE: the second writer of a row must try again."""
        for level in ("REPEATABLE READ", "SERIALIZABLE"):
            engine = self.engine.execution_options(isolation_level=level)
            with Session(engine) as first, Session(engine) as second:
                say(
                    level,
                    first.scalar(text("show transaction_isolation")),
                    first.get(Book, 3).version,
                    second.get(Book, 3).version,
                )
                first.execute(update(Book).where(Book.id == 3).values(price=Book.price + 1))
                first.commit()
                expect_error(
                    "second writer",
                    lambda: second.execute(update(Book).where(Book.id == 3).values(price=Book.price + 1)),
                )
                second.rollback()
                second.execute(update(Book).where(Book.id == 3).values(price=Book.price + 1))
                second.commit()
        with self.session() as session:
            say("price", session.get(Book, 3).price)
        auto = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with auto.connect() as connection:
            connection.execute(insert(Tag).values(word="autocommit"))
        with self.session() as session:
            say("autocommit", session.scalar(select(func.count()).where(Tag.word == "autocommit")))

    def inheritance(self):
        """Joined and single-table inheritance."""
        with self.session() as session, session.begin():
            session.add_all(
                [Person(name="ann", phone="1"), Company(name="acme", vat="X1"), Person(name="bob"), Party(name="club")]
            )
        with self.session() as session:
            everybody = with_polymorphic(Party, [Person, Company])
            say(
                "parties",
                [(type(p).__name__, p.id, p.name) for p in session.scalars(select(everybody).order_by(everybody.id))],
            )
            person = session.scalars(select(Person).where(Person.name == "bob")).one()
            person.phone, person.name = "2", "robert"
            session.delete(session.scalars(select(Person).where(Person.name == "ann")).one())
            session.commit()
            say("persons", session.execute(select(Person.id, Person.name, Person.phone)).all())

    def tree(self):
        """A table that refers to itself, read by a recursive query."""
        with self.session() as session, session.begin():
            root = Category(
                name="root", children=[Category(name="a", children=[Category(name="aa")]), Category(name="b")]
            )
            session.add(root)
        with self.session() as session:
            top = (
                select(Category.id, Category.name, Category.parent_id)
                .where(Category.parent_id.is_(None))
                .cte("tree", recursive=True)
            )
            tree = top.union_all(
                select(Category.id, Category.name, Category.parent_id).join(top, Category.parent_id == top.c.id)
            )
            say("tree", session.execute(select(tree).order_by(tree.c.name)).all())
            expect_error("identity always", lambda: session.execute(insert(Category).values(id=1, name="own")))

    def server_keys(self):
        """Keys that only the server knows; bytes; intervals; ranges under an exclusion constraint."""
        with self.session() as session, session.begin():
            own = Asset(id=uuid.UUID(int=5), body=bytes(range(256)) * 40, keep=datetime.timedelta(days=3, seconds=5))
            made = [Asset(body=b"x", keep=None) for _ in range(3)]
            session.add_all([own, *made])
            session.flush()
            say("uuid of the server", len({asset.id for asset in made}), all(asset.id.version == 4 for asset in made))
        with self.session() as session, session.begin():
            found = session.get(Asset, uuid.UUID(int=5))
            say("asset", found.body == bytes(range(256)) * 40, found.keep)
            days = [datetime.datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 10)]
            session.add_all([Booking(during=Range(days[0], days[2])), Booking(during=Range(days[2], days[4]))])
        with self.session() as session:
            session.add(Booking(during=Range(days[1], days[3])))
            expect_error("overlap", session.commit)

    def deferred(self):
        """A foreign key that is checked at COMMIT."""
        with self.session() as session:
            session.add(Asset(id=uuid.UUID(int=6), owner_id=4711))
            session.flush()
            expect_error("deferred", session.commit)
        with self.session() as session:
            session.add(Asset(id=uuid.UUID(int=7), owner_id=5000))
            session.flush()
            session.execute(insert(Party).values(id=5000, kind="party", name="late"))
            session.commit()
            say("deferred and right", session.get(Asset, uuid.UUID(int=7)).owner_id)
            session.execute(text("set constraints all immediate"))
            expect_error(
                "immediate",
                lambda: session.execute(update(Asset).where(Asset.id == uuid.UUID(int=7)).values(owner_id=1)),
            )

    def errors(self):
        """Each kind of violation, as the framework names it and as the server tells it."""
        with self.session() as session:
            for what, statement in (
                ("unique", insert(Author).values(name="author 0")),
                ("not null", insert(Book).values(author_id=1, title=None, version=1)),
                ("check", insert(Book).values(author_id=1, title="t", price=-1, version=1)),
                ("foreign key", insert(Book).values(author_id=99999, title="t", version=1)),
                ("restricted delete", delete(Tag).where(Tag.word == "old")),
                ("too long", insert(Author).values(name="x" * 81)),
                ("numeric overflow", update(Book).where(Book.id == 1).values(price=10**9)),
                ("division by zero", select(Book.id / (Book.id - Book.id))),
                ("no such column", text("select nope from author")),
                ("no such table", text("select * from nowhere")),
                ("syntax", text("selec 1")),
                ("bad value", text("select 'x'::int")),
                ("bad enum", text("select 'x'::book_status")),
                ("generated", text("insert into book(author_id, title, version, gross) values (1, 'g', 1, 3)")),
            ):
                expect_error(what, lambda statement=statement: session.execute(statement))
                session.rollback()
            expect_error(
                "aborted",
                lambda: [session.connection().exec_driver_sql(sql) for sql in ("savepoint s", "select 1")]
                and session.execute(text("select 1/0")),
            )
            expect_error("aborted, again", lambda: session.connection().exec_driver_sql("select 1"))
            session.connection().exec_driver_sql("rollback to savepoint s")
            say("usable again", session.scalar(text("select 1")))

    def cascades(self):
        """delete-orphan by the mapper, ON DELETE CASCADE by the server, many-to-many rows."""
        with self.session() as session, session.begin():
            author = session.scalars(select(Author).where(Author.name == "author 3")).one()
            author.books.pop()
        with self.session() as session, session.begin():
            session.delete(session.scalars(select(Author).where(Author.name == "author 2")).one())
        with self.session() as session, session.begin():
            say("cascade by the server", session.execute(delete(Author).where(Author.name == "author 4")).rowcount)
        with self.session() as session:
            say(
                "left",
                session.execute(
                    select(Author.name, func.count(Book.id)).join(Book).group_by(Author.name).order_by(Author.name)
                ).all(),
            )
            say("links", session.execute(text("select count(*) from book_tag")).scalar())

    def merge_and_refresh(self):
        """Objects that come from elsewhere; objects that the database changed."""
        with self.session() as session:
            merged = session.merge(Tag(id=1, word="ancient"))
            session.merge(Tag(id=100000, word="from outside"))
            session.commit()
            session.execute(text("update tag set word = 'behind' where id = 1"))
            session.refresh(merged)
            say("refreshed", merged.word)
            session.commit()
            say("tags", session.execute(select(Tag.id, Tag.word).where(Tag.id.in_([1, 100000])).order_by(Tag.id)).all())
