"""The tables. Times are seconds since 1970 by the database's clock; views turn them into dates.

Constraints and indexes are named, and a comment says what each prevents or serves. The names of
tables and their columns are a contract with analysts; changes go through migrations only.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.states import (
    CallStatus,
    DeliveryStatus,
    FileStatus,
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
)

Json = JSON().with_variant(JSONB(), "postgresql")
JsonOrNull = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Key = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by INTEGER keys only
Seconds: Double[float] = Double()


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _one_of(column: str, states: Any) -> CheckConstraint:
    words = ", ".join(f"'{state.value}'" for state in states)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")


class Job(Base):
    """One question about one set of images."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), unique=True)  # the same key is the same job
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)  # why it is paused or failed
    ask: Mapped[str] = mapped_column(Text)
    label: Mapped[str | None] = mapped_column(String(255))
    model: Mapped[str] = mapped_column(String(128))
    provider: Mapped[str] = mapped_column(String(32))
    endpoint: Mapped[str] = mapped_column(String(255))
    account: Mapped[str] = mapped_column(String(32))  # whose workers serve it
    detail: Mapped[str] = mapped_column(String(8))
    options: Mapped[dict[str, Any]] = mapped_column(Json)
    # the job before it: the same question about a changed set, or another about the same set; no
    # foreign key, for that one may have been pruned
    follows: Mapped[str | None] = mapped_column(String(32))
    family: Mapped[str | None] = mapped_column(String(64))  # hash of what it asks, without the set
    weight: Mapped[float] = mapped_column(Seconds, server_default=sql("1"))  # fair share
    served_images: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    served_tokens: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    submitted: Mapped[int] = mapped_column(Integer)
    included: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    failed: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    duplicate: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    skipped: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    answer: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Seconds)
    finished_at: Mapped[float | None] = mapped_column(Seconds)

    __table_args__ = (
        _one_of("status", JobStatus),
        CheckConstraint(
            "included + failed + duplicate + skipped <= submitted", name="coverage_adds_up"
        ),
        Index("ix_jobs_status_created_at", "status", "created_at"),
        Index("ix_jobs_label", "label"),
        Index("ix_jobs_follows", "follows"),
        # the newest job that asked the same
        Index("ix_jobs_family", "family", "created_at"),
    )


class Image(Base):
    """One submitted image: a file, a URL or a page of a document, at its place in the input."""

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)  # from 1; what [n] in an answer means
    node_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="SET NULL"))
    name: Mapped[str] = mapped_column(Text)
    location: Mapped[str] = mapped_column(Text)
    page: Mapped[int | None] = mapped_column(Integer)
    root: Mapped[str | None] = mapped_column(Text)
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    changed_ns: Mapped[int | None] = mapped_column(BigInteger)  # when the file last changed
    status: Mapped[str] = mapped_column(String(16))
    duplicate_of: Mapped[int | None] = mapped_column(Integer)  # position of the first
    error_code: Mapped[str | None] = mapped_column(String(32))
    error: Mapped[str | None] = mapped_column(Text)
    remarks: Mapped[str | None] = mapped_column(Text)
    source_sha256: Mapped[str | None] = mapped_column(String(64))
    sha256: Mapped[str | None] = mapped_column(String(64))  # of the prepared content
    mime: Mapped[str | None] = mapped_column(String(32))
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    prepared_bytes: Mapped[int | None] = mapped_column(Integer)
    tokens: Mapped[int | None] = mapped_column(Integer)
    answer: Mapped[Any | None] = mapped_column(JsonOrNull)  # where each is asked
    attempts: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    due_at: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    updated_at: Mapped[float] = mapped_column(Seconds)

    __table_args__ = (
        _one_of("status", ImageStatus),
        # one image a place: a doubled submit cannot add it twice
        Index("uq_images_job_id_position", "job_id", "position", unique=True),
        # what a worker may claim next, in input order
        Index("ix_images_job_id_status_position", "job_id", "status", "position"),
        # what the reconciler looks at once a second: only what is or was worked on
        Index(
            "ix_images_tried",
            "lease_until",
            sqlite_where=sql("attempts > 0 AND status IN ('pending', 'prepared')"),
            postgresql_where=sql("attempts > 0 AND status IN ('pending', 'prepared')"),
        ),
        Index("ix_images_node_id", "node_id"),
        Index("ix_images_sha256", "sha256"),
        Index("ix_images_source_sha256", "source_sha256"),
        # by file name, whole or by its beginning
        Index("ix_images_name", "name", postgresql_ops={"name": "text_pattern_ops"}),
        # what failed, out of rows of which nearly all did not
        Index(
            "ix_images_failed",
            "job_id",
            "position",
            sqlite_where=sql("status = 'failed'"),
            postgresql_where=sql("status = 'failed'"),
        ),
    )


class Node(Base):
    """One node of a job's summary tree. The root has no parent."""

    __tablename__ = "nodes"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    split_from: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))
    level: Mapped[int] = mapped_column(Integer)
    first_position: Mapped[int] = mapped_column(Integer)  # the images below, as a span
    last_position: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    pending: Mapped[int] = mapped_column(Integer)  # images or children it still waits for
    key: Mapped[str | None] = mapped_column(String(64))
    text: Mapped[str | None] = mapped_column(Text)
    images: Mapped[int] = mapped_column(Integer, server_default=sql("0"))  # included below
    tokens: Mapped[int] = mapped_column(Integer, server_default=sql("0"))  # estimate of its call
    refused_citations: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    error_code: Mapped[str | None] = mapped_column(String(32))
    error: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    due_at: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    started_at: Mapped[float | None] = mapped_column(Seconds)
    finished_at: Mapped[float | None] = mapped_column(Seconds)

    __table_args__ = (
        _one_of("status", NodeStatus),
        _one_of("kind", NodeKind),
        CheckConstraint("pending >= 0", name="pending_not_negative"),
        # what a worker may ask next
        Index("ix_nodes_job_id_status", "job_id", "status"),
        Index("ix_nodes_parent_id", "parent_id"),
        # a node that is deleted asks which were split from it
        Index(
            "ix_nodes_split_from",
            "split_from",
            sqlite_where=sql("split_from IS NOT NULL"),
            postgresql_where=sql("split_from IS NOT NULL"),
        ),
        # words in notes
        Index(
            "ix_nodes_words",
            sql("to_tsvector('simple', coalesce(text, ''))"),
            postgresql_using="gin",
        ).ddl_if(dialect="postgresql"),
        # a job has one root: two would be two answers
        Index(
            "uq_nodes_one_root",
            "job_id",
            unique=True,
            sqlite_where=sql("parent_id IS NULL AND status <> 'split'"),
            postgresql_where=sql("parent_id IS NULL AND status <> 'split'"),
        ),
    )


class Call(Base):
    """One paid request: written before it is sent, settled after. Rows are never deleted while
    their reply may answer another request."""

    __tablename__ = "calls"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    key: Mapped[str] = mapped_column(String(64))  # hash of everything that was asked
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    node_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="SET NULL"))
    account: Mapped[str] = mapped_column(String(32))
    model: Mapped[str] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(16))
    images: Mapped[int] = mapped_column(Integer)
    reserved_tokens: Mapped[int] = mapped_column(Integer)
    # the most it may cost, held back from a budget while it is in flight
    reserved_cost: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    reply: Mapped[str | None] = mapped_column(Text)
    finish_reason: Mapped[str | None] = mapped_column(String(32))
    prompt_tokens: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    cached_tokens: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    completion_tokens: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    cost: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    currency: Mapped[str] = mapped_column(String(3))
    http_status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)
    trace: Mapped[str | None] = mapped_column(String(128))  # X-Trace-Id, what support asks for
    lease_token: Mapped[str] = mapped_column(String(32))
    lease_until: Mapped[float] = mapped_column(Seconds)
    started_at: Mapped[float] = mapped_column(Seconds)
    settled_at: Mapped[float | None] = mapped_column(Seconds)

    __table_args__ = (
        _one_of("status", CallStatus),
        # the same request is in flight once at most, over all jobs and processes
        Index(
            "uq_calls_key_started",
            "key",
            unique=True,
            sqlite_where=sql("status = 'started'"),
            postgresql_where=sql("status = 'started'"),
        ),
        Index("ix_calls_key", "key", "status"),
        Index("ix_calls_job_id", "job_id"),
        Index("ix_calls_node_id", "node_id"),
        Index("ix_calls_started_at", "started_at"),
    )


class File(Base):
    """One content at the provider's file store, once an account."""

    __tablename__ = "files"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    account: Mapped[str] = mapped_column(String(32))
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    file_id: Mapped[str | None] = mapped_column(String(128))
    bytes: Mapped[int] = mapped_column(BigInteger)
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    uploaded_at: Mapped[float | None] = mapped_column(Seconds)
    used_at: Mapped[float] = mapped_column(Seconds)
    deleted_at: Mapped[float | None] = mapped_column(Seconds)

    __table_args__ = (
        _one_of("status", FileStatus),
        # one upload a content
        Index("uq_files_account_sha256", "account", "sha256", unique=True),
        Index("ix_files_account_status_used_at", "account", "status", "used_at"),
    )


class Event(Base):
    """One transition: what happened to which row, when. Written in the transition's transaction."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    at: Mapped[float] = mapped_column(Seconds)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    image_id: Mapped[int | None] = mapped_column(Key)
    node_id: Mapped[int | None] = mapped_column(Key)
    name: Mapped[str] = mapped_column(String(48))  # e.g. image.prepared, node.done
    detail: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (Index("ix_events_job_id_id", "job_id", "id"),)


class Delivery(Base):
    """One webhook of one job: who is told of its end, and how that went."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    url: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    event_at: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))  # the end told of
    attempts: Mapped[int] = mapped_column(Integer, server_default=sql("0"))
    due_at: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    lease_until: Mapped[float] = mapped_column(Seconds, server_default=sql("0"))
    http_status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Seconds)
    delivered_at: Mapped[float | None] = mapped_column(Seconds)

    __table_args__ = (
        _one_of("status", DeliveryStatus),
        # an end is told once a receiver
        Index("uq_deliveries_job_id_url", "job_id", "url", unique=True),
        # what may be due
        Index("ix_deliveries_status_due_at", "status", "due_at"),
    )


Base.registry.configure()  # once, before workers are forked; else each does so at its first query
