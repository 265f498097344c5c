"""What each endpoint takes in one request, learned from its refusals and used by every job.

A limit that the endpoint names is taken as it is. Where it only says "too many", the limit is found
by halving, once for the endpoint: one leaf at a time is asked until a request of the new size is
accepted. A server that shows the model less than it was sent is found by the usage that it reports
(core/requests/sight.py). A part of a request that the endpoint refuses is kept as the form that
avoids it (core/requests/forms.py). Everything is forgotten after a week: a raised limit is found
again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.errors import RequestForm, RequestPart
from core.settings import SANDBOX
from core.states import CallStatus
from core.tree.capacity import LearnedLimits
from models.engine import now
from models.reads.token_fits import token_fit_of
from models.tables import Call, EndpointLimit, Job

KEPT_SECONDS = 7 * 86_400.0
WEBP = "image/webp"


FORM_SENTENCES = {
    RequestForm.COMPLETION_TOKENS.value: "max_tokens is sent as max_completion_tokens",
    RequestForm.NO_MAX_TOKENS.value: "max_tokens is left out",
    RequestForm.REPLY_TOKENS.value: "max_tokens is {most} at most",
    RequestForm.NO_TEMPERATURE.value: "temperature is left out",
    RequestForm.NO_REASONING_EFFORT.value: "reasoning_effort is left out",
    RequestForm.NO_SYSTEM.value: "the system's text is sent in the user's turn",
    RequestForm.NO_JSON_SCHEMA.value: "no schema is sent beside the prompt, which has it",
    RequestForm.NO_RESPONSE_FORMAT.value: "JSON is asked for by the prompt alone",
    RequestForm.INLINE.value: "images are sent inside the requests, and no URL",
    RequestForm.JPEG.value: "images are sent as JPEG, and not as WebP",
    RequestForm.NO_DETAIL.value: "detail is left out",
}


@dataclass(frozen=True, slots=True)
class Limit:
    """One row, for people."""

    endpoint: str
    model: str
    part: str
    most: int
    named: bool
    proven: bool
    learned_at: float
    message: str
    measured: bool = False

    @property
    def leaves_no_room(self) -> bool:
        """Whether a request takes one image alone."""
        return self.part == RequestPart.IMAGES and self.most < 2

    @property
    def sentence(self) -> str:
        """``vlm takes at most 5 images in one request (the endpoint said so: ...)``."""
        if self.part in FORM_SENTENCES:
            form = FORM_SENTENCES[self.part].format(most=f"{self.most:,}")
            how = "" if self.measured else "the endpoint said: "
            return f"{self.model}: {form} ({how}{self.message})"
        if self.part == RequestPart.PROVEN:
            return f"{self.model}: at most {self.most:,} pictures beside canaries: {self.message}"
        part = self.part[:-1] if self.most == 1 else self.part
        limit = f"{self.model} takes at most {self.most:,} {part} in one request"
        if self.measured:
            return f"{limit}: {self.message}"
        how = "the endpoint said so" if self.named else "found by halving after"
        return f"{limit} ({how}: {self.message})"


def learned(
    connection: Connection, endpoint: str, model: str, canary: bool = False
) -> LearnedLimits:
    """The limits in force for ``model`` at ``endpoint``, and how its replies have shown that it
    counts. ``canary``: for requests with canaries."""
    rows = connection.execute(
        select(
            EndpointLimit.part, EndpointLimit.most, EndpointLimit.named, EndpointLimit.proven
        ).where(_of(endpoint, model), EndpointLimit.learned_at > now() - KEPT_SECONDS)
    ).all()
    most = {row.part: row.most for row in rows}
    forms = frozenset(form for form in RequestForm if form in most)
    pictures = (RequestPart.IMAGES, RequestPart.PROVEN) if canary else (RequestPart.IMAGES,)
    probing = any(row.part in pictures and not (row.named or row.proven) for row in rows)
    return LearnedLimits(
        min((most[part] for part in pictures if part in most), default=None),
        most.get(RequestPart.TOKENS),
        most.get(RequestPart.BYTES),
        probing,
        forms,
        most.get(RequestForm.REPLY_TOKENS),
        None if endpoint == SANDBOX else token_fit_of(connection, endpoint, model),
    )


def forms_of(connection: Connection, job_id: str) -> frozenset[RequestForm]:
    """How requests of a job are written for its endpoint and model."""
    job = select(Job.endpoint, Job.model).where(Job.id == job_id)
    row = connection.execute(job).first()
    return learned(connection, row.endpoint, row.model).forms if row else frozenset()


def is_refused_by(forms: Collection[RequestForm], prepared_bytes: int, mime: str) -> bool:
    """Whether an endpoint that takes requests in ``forms`` does not take an image as it was
    prepared: by its URL (no bytes are prepared then), or as WebP."""
    by_url = RequestForm.INLINE in forms and not prepared_bytes
    return by_url or (RequestForm.JPEG in forms and mime == WEBP)


def learn(
    connection: Connection,
    endpoint: str,
    model: str,
    part: RequestPart | RequestForm,
    most: int,
    named: bool,
    message: str,
    measured: bool = False,
) -> bool:
    """Record a limit, unless as low a one is in force. True if it was new. ``measured``: it was
    found from the usage of a reply, and ``message`` says what was found."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {
        "most": most,
        "named": named,
        "proven": measured,  # what a reply held needs no trial
        "measured": measured,
        "learned_at": now(),
        "message": message[:500],
    }
    new = dialect.insert(EndpointLimit).values(endpoint=endpoint, model=model, part=part, **values)
    # one statement, because calls in flight are refused at the same moment
    recorded = connection.execute(
        new.on_conflict_do_update(
            index_elements=["endpoint", "model", "part"],
            set_={name: new.excluded[name] for name in values},
            where=or_(
                EndpointLimit.most > new.excluded.most,
                EndpointLimit.learned_at <= now() - KEPT_SECONDS,
            ),
        ).returning(EndpointLimit.part)
    ).first()
    return recorded is not None


def proven(connection: Connection, endpoint: str, model: str) -> None:
    """A request of the probed size was accepted: the halving has ended."""
    pictures = EndpointLimit.part.in_((RequestPart.IMAGES, RequestPart.PROVEN))
    connection.execute(
        update(EndpointLimit).where(_of(endpoint, model), pictures).values(proven=True)
    )


def is_probed(connection: Connection, endpoint: str, model: str) -> bool:
    """Whether a call that shows images to ``model`` at ``endpoint`` is in flight."""
    in_flight = exists().where(
        Call.status == CallStatus.STARTED,
        Call.images > 0,
        Call.model == model,
        Job.id == Call.job_id,
        Job.endpoint == endpoint,
    )
    return bool(connection.execute(select(in_flight)).scalar())


def forget_unseen(connection: Connection, endpoint: str, model: str, since: float) -> None:
    """Forget what was learned since ``since`` from replies that had not seen their images: nothing
    at all was seen, so they do not tell how many can be."""
    guessed = or_(EndpointLimit.measured, EndpointLimit.part == RequestPart.PROVEN)
    later = EndpointLimit.learned_at >= since
    connection.execute(delete(EndpointLimit).where(_of(endpoint, model), guessed, later))


def forget(connection: Connection) -> int:
    """Forget all learned limits; how many there were."""
    return connection.execute(delete(EndpointLimit)).rowcount


def listed(connection: Connection, endpoint: str) -> Sequence[Limit]:
    """The limits in force at ``endpoint``, for people."""
    rows = connection.execute(
        select(EndpointLimit.__table__)
        .where(
            EndpointLimit.endpoint == endpoint,
            EndpointLimit.learned_at > now() - KEPT_SECONDS,
        )
        .order_by(EndpointLimit.model, EndpointLimit.part)
    ).all()
    return [Limit(**row._asdict()) for row in rows]


def _of(endpoint: str, model: str) -> ColumnElement[bool]:
    return and_(EndpointLimit.endpoint == endpoint, EndpointLimit.model == model)
