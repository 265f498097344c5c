"""The tables. Times are seconds since 1970 by the database's clock; views turn them into dates.

Constraints and indexes are named, and a comment says what each prevents or speeds up. Analysts rely
on the names of tables and columns; only migrations change them.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnClause,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from core.access import BudgetPeriod
from core.errors import RequestForm, RequestPart
from core.job_options import JobOptions
from core.states import (
    CallStatus,
    DeliveryStatus,
    FileStatus,
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
)

Json: TypeEngine[Any] = JSON().with_variant(JSONB(), "postgresql")
JsonOrNull: TypeEngine[Any] = JSON(none_as_null=True).with_variant(
    JSONB(none_as_null=True), "postgresql"
)
Key = BigInteger().with_variant(Integer(), "sqlite")  # SQLite only autoincrements INTEGER keys
Seconds: Double[float] = Double()


class OptionsType(TypeDecorator[JobOptions]):
    """A job's options as their own value: JSON in the database, JobOptions in Python."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(JSONB() if dialect.name == "postgresql" else JSON())

    def process_bind_param(self, value: JobOptions | None, dialect: Dialect) -> Any:
        return None if value is None else value.to_json()

    def process_result_value(self, value: Any, dialect: Dialect) -> JobOptions:
        return JobOptions.from_json(value)


T = TypeVar("T")
_Kind = TypeEngine[T] | type[TypeEngine[T]]


class Base:
    """A table as a class: its attributes are the columns, and statements accept the class.

    These are SQLAlchemy Core tables in the ORM's declarative style. We need no sessions or loaded
    objects: the ORM would take a tenth of each start and make a statement a third slower to build.
    """

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    __tablename__: ClassVar[str]
    __table_args__: ClassVar[tuple[CheckConstraint | Index, ...]]
    __table__: ClassVar[Table]

    def __init_subclass__(cls) -> None:
        """Make the table from the columns of the class."""
        columns = {name: value for name, value in vars(cls).items() if isinstance(value, Column)}
        for name, column in columns.items():
            column.name = column.key = name
        parts = (*columns.values(), *cls.__table_args__)
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *parts)

    @classmethod
    def __clause_element__(cls) -> Table:
        """The table, for a statement that is given the class."""
        return cls.__table__


def _column(kind: _Kind[T], *others: ForeignKey, **options: Any) -> ColumnClause[T]:
    """A column that is never null."""
    return Column(kind, *others, nullable=False, **options)


def _optional(kind: _Kind[T], *others: ForeignKey) -> ColumnClause[T | None]:
    """A column that may be null."""
    return Column(kind, *others)


def _one_of(column: str, states: Any) -> CheckConstraint:
    values = ", ".join(f"'{state.value}'" for state in states)
    return CheckConstraint(f"{column} IN ({values})", name=f"{column}_known")


class Job(Base):
    """One question about one set of images."""

    __tablename__ = "jobs"

    id = _column(String(32), primary_key=True)
    key = _column(String(255), unique=True)  # submitting the same key again gives the same job
    status = _column(String(16))
    reason = _optional(Text)  # why it is paused or failed
    ask = _column(Text)
    label = _optional(String(255))
    model = _column(String(128))
    provider = _column(String(32))
    endpoint = _column(String(255))
    account = _column(String(32))  # workers of this account serve it
    detail = _column(String(8))
    options = _column(OptionsType())
    # the previous job: the same question about a changed set, or another question about the same
    # set; not a foreign key, because the previous job may have been pruned
    follows = _optional(String(32))
    family = _optional(String(64))  # hash of what it asks, without the image set
    weight = _column(Seconds, server_default=sql("1"))  # fair share
    served_images = _column(Seconds, server_default=sql("0"))
    served_tokens = _column(Seconds, server_default=sql("0"))
    submitted = _column(Integer)
    included = _column(Integer, server_default=sql("0"))
    failed = _column(Integer, server_default=sql("0"))
    duplicate = _column(Integer, server_default=sql("0"))
    skipped = _column(Integer, server_default=sql("0"))
    answer = _optional(Text)
    created_at = _column(Seconds)
    finished_at = _optional(Seconds)
    idle_since = _optional(Seconds)  # since when it is paused or ended; NULL while it runs
    # its pauses before, and the time from an end to a retry: no time that it took
    idle_seconds = _column(Seconds, server_default=sql("0"))
    # the token that submitted it; NULL: this machine, or a message. Not a foreign key, because it
    # is never changed, and a token is never deleted
    owner = _optional(String(64))
    # its images are prepared to be compared; its tree is planned when they were
    comparing = _column(Boolean, server_default=sql("false"))

    __table_args__ = (
        _one_of("status", JobStatus),
        CheckConstraint(
            "included + failed + duplicate + skipped <= submitted", name="coverage_adds_up"
        ),
        Index("ix_jobs_status_created_at", "status", "created_at"),
        Index("ix_jobs_label", "label"),
        Index("ix_jobs_follows", "follows"),
        # find the newest job with the same question
        Index("ix_jobs_family", "family", "created_at"),
        # a token lists its own jobs
        Index("ix_jobs_owner", "owner", "created_at"),
    )


class Image(Base):
    """One submitted image: a file, a URL or a page of a document."""

    __tablename__ = "images"

    id = _column(Key, primary_key=True)
    job_id = _column(String(32), ForeignKey("jobs.id", ondelete="CASCADE"))
    position = _column(Integer)  # in the input, from 1; [n] in an answer refers to it
    node_id = _optional(Key, ForeignKey("nodes.id", ondelete="SET NULL"))
    name = _column(Text)
    location = _column(Text)
    page = _optional(Integer)
    root = _optional(Text)
    bytes = _optional(BigInteger)
    changed_ns = _optional(BigInteger)  # when the file last changed
    version = _optional(Text)  # of an object of a bucket: its ETag
    # what its table, or the picture itself, says of it, in the table's order
    facts = _optional(JSON(none_as_null=True))
    unit = _optional(Integer)  # number of its unit, in a job by units
    status = _column(String(16))
    duplicate_of = _optional(Integer)  # position of the first image with the same content
    error_code = _optional(String(32))
    error = _optional(Text)
    remarks = _optional(Text)
    source_sha256 = _optional(String(64))
    sha256 = _optional(String(64))  # of the prepared content
    mime = _optional(String(32))
    width = _optional(Integer)
    height = _optional(Integer)
    prepared_bytes = _optional(Integer)
    tokens = _optional(Integer)
    answer = _optional(JsonOrNull)  # if the job asks each image
    seen = _optional(String(8))  # of an included image: what shows that the model saw it
    note = _optional(Text)  # the line that the model wrote about it
    look = _column(Integer, server_default=sql("1"))  # 2: looked at twice, or about to be
    unclear = _optional(JsonOrNull)  # fields that the model could not tell; []: the whole image
    first_sha256 = _optional(String(64))  # of the prepared bytes of the first of two looks
    likeness = _optional(JsonOrNull)  # to find similar images: core/images/likeness.py
    similar_to = _optional(Integer)  # position of the image that stands for it
    attempts = _column(Integer, server_default=sql("0"))
    due_at = _column(Seconds, server_default=sql("0"))
    lease_token = _optional(String(32))
    lease_until = _column(Seconds, server_default=sql("0"))
    updated_at = _column(Seconds)

    __table_args__ = (
        _one_of("status", ImageStatus),
        # one image at a position: a repeated submit cannot add it twice
        Index("uq_images_job_id_position", "job_id", "position", unique=True),
        # find what a worker may claim next, in input order
        Index("ix_images_job_id_status_position", "job_id", "status", "position"),
        # the reconciler checks once a second: only images that are or were worked on
        Index(
            "ix_images_tried",
            "lease_until",
            sqlite_where=sql("attempts > 0 AND status IN ('pending', 'prepared')"),
            postgresql_where=sql("attempts > 0 AND status IN ('pending', 'prepared')"),
        ),
        Index("ix_images_node_id", "node_id"),
        Index("ix_images_sha256", "sha256"),
        Index("ix_images_source_sha256", "source_sha256"),
        # find by file name. On PostgreSQL by its hash, because a tree takes at most 2,704 bytes;
        # its own hash indexes are slow where many images have one name
        Index("ix_images_name", "name").ddl_if(dialect="sqlite"),
        Index("ix_images_name_hash", sql("hashtextextended(name, '0')")).ddl_if(
            dialect="postgresql"
        ),
        # why images of a job wait, as a person who waits for it is told once a second
        Index(
            "ix_images_troubled",
            "job_id",
            "status",
            sqlite_where=sql("error IS NOT NULL AND status IN ('pending', 'prepared')"),
            postgresql_where=sql("error IS NOT NULL AND status IN ('pending', 'prepared')"),
        ),
        # which uploads are in use
        Index(
            "ix_images_upload",
            "location",
            "job_id",
            sqlite_where=sql("location LIKE 'upload:%'"),
            postgresql_where=sql("location LIKE 'upload:%'"),
        ),
        # find the few failed images
        Index(
            "ix_images_failed",
            "job_id",
            "position",
            sqlite_where=sql("status = 'failed'"),
            postgresql_where=sql("status = 'failed'"),
        ),
    )


class Unit(Base):
    """A group of a job's images that is answered about by itself (``--by``)."""

    __tablename__ = "units"

    id = _column(Key, primary_key=True)
    job_id = _column(String(32), ForeignKey("jobs.id", ondelete="CASCADE"))
    number = _column(Integer)  # in the order of their first images, from 1
    name = _column(Text)
    duplicate_of = _optional(Integer)  # number of an earlier unit with the same images
    answer = _optional(JsonOrNull)  # text, or an object of the job's schema

    __table_args__ = (
        # one unit of a number
        Index("uq_units_job_id_number", "job_id", "number", unique=True),
        # the units that get the answer of another
        Index(
            "ix_units_duplicate_of",
            "job_id",
            "duplicate_of",
            sqlite_where=sql("duplicate_of IS NOT NULL"),
            postgresql_where=sql("duplicate_of IS NOT NULL"),
        ),
    )


class Node(Base):
    """One node of a job's summary tree. The root has no parent."""

    __tablename__ = "nodes"

    id = _column(Key, primary_key=True)
    job_id = _column(String(32), ForeignKey("jobs.id", ondelete="CASCADE"))
    parent_id = _optional(Key, ForeignKey("nodes.id", ondelete="CASCADE"))
    split_from = _optional(Key, ForeignKey("nodes.id", ondelete="CASCADE"))
    kind = _column(String(8))
    level = _column(Integer)
    first_position = _column(Integer)  # the range of the images below
    last_position = _column(Integer)
    status = _column(String(16))
    pending = _column(Integer)  # number of images or children it still waits for
    look = _column(Integer, server_default=sql("1"))  # 2: a leaf that looks at its images again
    unit = _optional(Integer)  # its number, where the node is about a part of one unit alone
    key = _optional(String(64))
    text = _optional(Text)
    images = _column(Integer, server_default=sql("0"))  # included below
    tokens = _column(Integer, server_default=sql("0"))  # estimate of its call
    refused_citations = _column(Integer, server_default=sql("0"))
    error_code = _optional(String(32))
    error = _optional(Text)
    attempts = _column(Integer, server_default=sql("0"))
    due_at = _column(Seconds, server_default=sql("0"))
    lease_token = _optional(String(32))
    lease_until = _column(Seconds, server_default=sql("0"))
    started_at = _optional(Seconds)
    finished_at = _optional(Seconds)

    __table_args__ = (
        _one_of("status", NodeStatus),
        _one_of("kind", NodeKind),
        CheckConstraint("pending >= 0", name="pending_not_negative"),
        Index("ix_nodes_job_id_status", "job_id", "status"),
        Index("ix_nodes_parent_id", "parent_id"),
        # find what a worker may ask next, in its order
        Index(
            "ix_nodes_ready",
            "job_id",
            "kind",
            "level",
            "first_position",
            sqlite_where=sql("status = 'ready'"),
            postgresql_where=sql("status = 'ready'"),
        ),
        # the reconciler checks the countdowns of some at a time
        Index(
            "ix_nodes_waiting",
            "id",
            sqlite_where=sql("status = 'waiting'"),
            postgresql_where=sql("status = 'waiting'"),
        ),
        # the reconciler looks once a second for those whose lease has expired
        Index(
            "ix_nodes_running",
            "lease_until",
            sqlite_where=sql("status = 'running'"),
            postgresql_where=sql("status = 'running'"),
        ),
        # deleting a node looks up the nodes that were split from it
        Index(
            "ix_nodes_split_from",
            "split_from",
            sqlite_where=sql("split_from IS NOT NULL"),
            postgresql_where=sql("split_from IS NOT NULL"),
        ),
        # full-text search in notes
        Index(
            "ix_nodes_words",
            sql("to_tsvector('simple', coalesce(text, ''))"),
            postgresql_using="gin",
        ).ddl_if(dialect="postgresql"),
        # a job has one root, so it has one answer
        Index(
            "uq_nodes_one_root",
            "job_id",
            unique=True,
            sqlite_where=sql("parent_id IS NULL AND status <> 'split'"),
            postgresql_where=sql("parent_id IS NULL AND status <> 'split'"),
        ),
    )


class Call(Base):
    """One paid request: written before it is sent, settled afterwards. A row is not deleted while
    its reply may answer another request."""

    __tablename__ = "calls"

    id = _column(Key, primary_key=True)
    key = _column(String(64))  # hash of everything in the request
    job_id = _optional(String(32), ForeignKey("jobs.id", ondelete="SET NULL"))
    node_id = _optional(Key, ForeignKey("nodes.id", ondelete="SET NULL"))
    account = _column(String(32))
    model = _column(String(128))
    status = _column(String(16))
    images = _column(Integer)  # number of images it shows; 0 if it reads notes
    reserved_tokens = _column(Integer)
    # the most it may cost, reserved from the budget while it is in flight
    reserved_cost = _column(Seconds, server_default=sql("0"))
    # that its reply may have, where a budget has no room for all that its request says
    max_tokens = _optional(Integer)
    reply = _optional(Text)
    reasoning = _optional(Text)  # what the model wrote before it
    finish_reason = _optional(String(32))
    prompt_tokens = _column(Integer, server_default=sql("0"))
    cached_tokens = _column(Integer, server_default=sql("0"))
    completion_tokens = _column(Integer, server_default=sql("0"))
    usage_estimated = _column(Boolean, server_default=sql("false"))  # the reply reported none
    cost = _column(Seconds, server_default=sql("0"))
    currency = _column(String(3))
    http_status = _optional(Integer)
    error = _optional(Text)
    trace = _optional(String(128))  # X-Trace-Id, which the provider's support needs
    lease_token = _column(String(32))
    lease_until = _column(Seconds)
    started_at = _column(Seconds)
    settled_at = _optional(Seconds)
    # how the endpoint counts tokens is found from these (core/account/token_fit.py); NULL in calls
    # of older versions
    endpoint = _optional(String(255))
    prompt_parts = _optional(JsonOrNull)  # NULL too where the provider fetches an image itself
    # of its job, whose row may be pruned before the month is over: a token, or the name of a watch
    owner = _optional(String(64))

    __table_args__ = (
        _one_of("status", CallStatus),
        # the newest calls of a model
        Index("ix_calls_endpoint", "endpoint", "model", "id"),
        # a request is in flight at most once, across all jobs and processes
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
        # what the jobs of a token have cost in a day or a month
        Index(
            "ix_calls_owner",
            "owner",
            "started_at",
            sqlite_where=sql("owner IS NOT NULL"),
            postgresql_where=sql("owner IS NOT NULL"),
        ),
    )


class File(Base):
    """One content in the provider's file store, once for each account."""

    __tablename__ = "files"

    id = _column(Key, primary_key=True)
    account = _column(String(32))
    sha256 = _column(String(64))
    status = _column(String(16))
    file_id = _optional(String(128))
    bytes = _column(BigInteger)
    lease_token = _optional(String(32))
    lease_until = _column(Seconds, server_default=sql("0"))
    uploaded_at = _optional(Seconds)
    used_at = _column(Seconds)
    deleted_at = _optional(Seconds)

    __table_args__ = (
        _one_of("status", FileStatus),
        # one upload of each content
        Index("uq_files_account_sha256", "account", "sha256", unique=True),
        Index("ix_files_account_status_used_at", "account", "status", "used_at"),
        # renew the leases of the few that are being uploaded
        Index(
            "ix_files_leased",
            "lease_token",
            sqlite_where=sql("lease_token IS NOT NULL"),
            postgresql_where=sql("lease_token IS NOT NULL"),
        ),
    )


class Event(Base):
    """One transition: when something happened to a row. Written in the same transaction."""

    __tablename__ = "events"

    id = _column(Key, primary_key=True)
    at = _column(Seconds)
    job_id = _column(String(32), ForeignKey("jobs.id", ondelete="CASCADE"))
    image_id = _optional(Key)
    node_id = _optional(Key)
    name = _column(String(48))  # e.g. image.prepared, node.done
    detail = _optional(Text)

    __table_args__ = (Index("ix_events_job_id_id", "job_id", "id"),)


class EndpointLimit(Base):
    """What an endpoint takes in one request for a model, as its refusals have shown: how much of a
    part, or the form that it is written in."""

    __tablename__ = "endpoint_limits"

    endpoint = _column(String(255), primary_key=True)
    model = _column(String(128), primary_key=True)
    part = _column(String(16), primary_key=True)
    most = _column(Integer)
    named = _column(Boolean)  # the endpoint named the number; if not, it was found by halving
    proven = _column(Boolean)  # a request of that size was accepted since
    measured = _column(Boolean, server_default=sql("false"))  # from the usage of its replies
    learned_at = _column(Seconds)
    message = _column(Text)  # of the refusal

    __table_args__ = (_one_of("part", [*RequestPart, *RequestForm]),)


class EndpointProbe(Base):
    """What ``overstory doctor --probe`` found of a model at an endpoint, when it was last asked."""

    __tablename__ = "endpoint_probes"

    endpoint = _column(String(255), primary_key=True)
    model = _column(String(128), primary_key=True)
    probed_at = _column(Seconds)
    found = _column(Json)  # core/requests/probe_findings.py

    __table_args__ = ()


class Token(Base):
    """What a program or a person shows to the HTTP API to come in. A row is never deleted, so a
    name that was revoked never means somebody else."""

    __tablename__ = "tokens"

    name = _column(String(40), primary_key=True)
    hash = _column(String(64), unique=True)  # SHA-256 of the secret
    is_admin = _column(Boolean)  # sees all jobs
    read_only = _column(Boolean)
    budget = _optional(Seconds)  # the most that its jobs may cost in a period (UTC)
    budget_period = _optional(String(8))
    created_at = _column(Seconds)
    revoked_at = _optional(Seconds)

    __table_args__ = (_one_of("budget_period", BudgetPeriod),)


class Session(Base):
    """A browser that has shown a token to the page of the HTTP API."""

    __tablename__ = "sessions"

    hash = _column(String(64), primary_key=True)  # SHA-256 of the cookie
    token = _column(String(40), ForeignKey("tokens.name", ondelete="CASCADE"))
    expires_at = _column(Seconds)

    __table_args__ = ()


class Share(Base):
    """A link to the report of one job, for people without a token."""

    __tablename__ = "shares"

    hash = _column(String(64), primary_key=True)  # SHA-256 of the link's secret
    job_id = _column(String(32), ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at = _column(Seconds)
    expires_at = _column(Seconds)

    # a job's links are revoked together
    __table_args__ = (Index("ix_shares_job_id", "job_id"),)


class Delivery(Base):
    """One webhook of one job: the receiver of its end, and the state of the delivery."""

    __tablename__ = "deliveries"

    id = _column(Key, primary_key=True)
    job_id = _column(String(32), ForeignKey("jobs.id", ondelete="CASCADE"))
    url = _column(Text)
    status = _column(String(16))
    event_at = _column(Seconds, server_default=sql("0"))  # when the job ended
    attempts = _column(Integer, server_default=sql("0"))
    due_at = _column(Seconds, server_default=sql("0"))
    lease_until = _column(Seconds, server_default=sql("0"))
    http_status = _optional(Integer)
    error = _optional(Text)
    created_at = _column(Seconds)
    delivered_at = _optional(Seconds)

    __table_args__ = (
        _one_of("status", DeliveryStatus),
        # one delivery for each receiver
        Index("uq_deliveries_job_id_url", "job_id", "url", unique=True),
        # find what may be due
        Index("ix_deliveries_status_due_at", "status", "due_at"),
    )
