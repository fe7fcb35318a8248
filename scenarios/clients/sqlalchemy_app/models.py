"""The tables of a small book shop: every kind of relationship, key and column that an application declares."""

import datetime
import decimal
import enum
import uuid

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    Sequence,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSTZRANGE, UUID, ExcludeConstraint
from sqlalchemy.ext.associationproxy import association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """All tables of the application."""


class Status(enum.Enum):
    """A native enumeration of the server."""

    DRAFT = "draft"
    SOLD = "sold"
    GONE = "gone"


book_tag = Table(
    "book_tag",
    Base.metadata,
    Column("book_id", ForeignKey("book.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Author(Base):
    """A serial key, a unique name, a default of the server's clock."""

    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    born: Mapped[datetime.date | None]
    made: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    changed: Mapped[datetime.datetime | None] = mapped_column(DateTime(timezone=True), onupdate=func.now())
    books: Mapped[list["Book"]] = relationship(
        back_populates="author", cascade="all, delete-orphan", order_by="Book.title"
    )


class Tag(Base):
    """A natural key's other side."""

    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(unique=True)


class Book(Base):
    """A version counter, a generated column, JSON, arrays, an enumeration, checks and partial indexes."""

    __tablename__ = "book"
    __table_args__ = (
        UniqueConstraint("author_id", "title", name="book_once"),
        CheckConstraint("price >= 0", name="book_price"),
        Index("book_drafts", "title", postgresql_where=text("status = 'DRAFT'")),
        Index("book_facts", "facts", postgresql_using="gin"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id", ondelete="CASCADE"), index=True)
    title: Mapped[str] = mapped_column(Text)
    price: Mapped[decimal.Decimal] = mapped_column(Numeric(10, 2), server_default="0")
    gross: Mapped[decimal.Decimal] = mapped_column(Numeric(10, 2), Computed("round(price * 1.2, 2)", persisted=True))
    status: Mapped[Status] = mapped_column(Enum(Status, name="book_status"), server_default="DRAFT")
    facts: Mapped[dict] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    words: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    version: Mapped[int] = mapped_column(Integer, nullable=False)
    author: Mapped[Author] = relationship(back_populates="books")
    tags: Mapped[list[Tag]] = relationship(secondary=book_tag, order_by="Tag.word")
    tag_words = association_proxy("tags", "word", creator=lambda word: Tag(word=word))
    __mapper_args__ = {"version_id_col": version}

    @hybrid_property
    def label(self):
        """Title and state."""
        return self.title + "/" + str(self.price)


class Category(Base):
    """A tree: a table that refers to itself; an identity column."""

    __tablename__ = "category"
    id: Mapped[int] = mapped_column(Identity(always=True, start=100, increment=10), primary_key=True)
    name: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("category.id"))
    children: Mapped[list["Category"]] = relationship(order_by="Category.name")


class Party(Base):
    """The base of a joined inheritance."""

    __tablename__ = "party"
    id: Mapped[int] = mapped_column(Sequence("party_numbers", start=1000), primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "party"}


class Person(Party):
    """One more table with the same key."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(ForeignKey("party.id"), primary_key=True)
    phone: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "person"}


class Company(Party):
    """No table of its own: a single-table inheritance."""

    vat: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "company"}


class Asset(Base):
    """Keys that the client makes, and one that the server makes; bytes and intervals."""

    __tablename__ = "asset"
    id: Mapped[uuid.UUID] = mapped_column(UUID, primary_key=True, server_default=text("gen_random_uuid()"))
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    keep: Mapped[datetime.timedelta | None] = mapped_column(Interval)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("party.id", deferrable=True, initially="DEFERRED"))


class Booking(Base):
    """An exclusion constraint: no two ranges of a room overlap."""

    __tablename__ = "booking"
    __table_args__ = (ExcludeConstraint(("during", "&&"), using="gist", name="booking_overlap"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    during = Column(TSTZRANGE, nullable=False)


class Stock(Base):
    """A composite key, used by Core."""

    __tablename__ = "stock"
    shelf: Mapped[str] = mapped_column(primary_key=True)
    item: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[int] = mapped_column(server_default="0")
    note: Mapped[str | None]
