"""Every error Overstory raises. The class decides how the caller reacts.

An error without a message shows the first line of its docstring, so write that line for the user.
All arguments go to ``super().__init__``: errors are pickled between worker processes.
"""

from __future__ import annotations

from enum import StrEnum

from core.reply import Reply


class OverstoryError(Exception):
    """Overstory failed for a reason that has no class of its own."""

    def __str__(self) -> str:
        if self.args and self.args[0] is not None:
            return str(self.args[0])
        return (self.__doc__ or "").strip().splitlines()[0]


class WrongUsage(OverstoryError):
    """The command or message asks for something impossible."""


class InputRefused(WrongUsage):
    """An input may not be used, whatever it holds: outside the roots, Overstory's own, too much."""


class DatabaseRefused(OverstoryError):
    """The database refused a statement, and would refuse it again."""


class ServiceAway(OverstoryError):
    """A service that Overstory needs (broker, database, blob store) does not answer."""


class DatabaseFull(ServiceAway):
    """The database has no free connection; it may have one soon."""


class DatabaseUnusable(ServiceAway):
    """The database answers, but a setting or a right must be changed before it can be used."""


class ServiceRefuses(ServiceAway):
    """A service that Overstory needs answers, and refuses to work.

    ``cure``: what to do. ``passes``: whether it may end while we wait; if not, only a new setting
    helps.
    """

    def __init__(self, says: str | None = None, cure: str = "", passes: bool = False) -> None:
        super().__init__(says, cure, passes)
        self.cure = cure
        self.passes = passes

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.cure}" if self.cure else super().__str__()


class RefusalCode(StrEnum):
    """Why an image was refused. A closed set: stored on the image row and used in SQL reports."""

    MISSING = "missing"  # the file does not exist
    CHANGED = "changed"  # an object of a bucket, or an archive, is not what was planned
    UNREADABLE = "unreadable"  # permissions, or an I/O error while reading
    EMPTY = "empty"  # zero bytes
    NOT_DOWNLOADED = "not_downloaded"  # a placeholder of a cloud service
    NOT_AN_IMAGE = "not_an_image"  # the content has no supported format
    UNSUPPORTED = "unsupported"  # a kind of file that we know and do not read
    TRUNCATED = "truncated"  # the data ends early
    CORRUPT = "corrupt"  # the decoder failed
    TOO_MANY_PIXELS = "too_many_pixels"  # the declared size is above the limit (decompression bomb)
    TOO_LARGE_FILE = "too_large_file"  # more bytes than the configured limit
    ABSURD_ASPECT = "absurd_aspect"  # too long and thin for a model to see
    OUTSIDE_FOLDER = "outside_folder"  # a link leads out of its folder, or into Overstory's own
    TOO_SLOW = "too_slow"  # decoding took longer than OVERSTORY_DECODE_SECONDS
    NO_SUCH_PAGE = "no_such_page"  # the document has fewer pages
    TOO_MANY_PAGES = "too_many_pages"  # the document has more pages than configured
    ENCRYPTED = "encrypted"  # the document needs a password
    URL_REFUSED = "url_refused"  # scheme, host or IP address not allowed
    URL_FAILED = "url_failed"  # the download failed
    BLOCKED = "blocked"  # the provider's moderation refused it
    REFUSED_BY_PROVIDER = "refused_by_provider"  # the provider answered 400 for this image alone
    UPLOAD_FAILED = "upload_failed"  # the provider's file store refused it
    POISON = "poison"  # its attempts are exhausted: workers died or failed on it
    UNSEEN = "unseen"  # nothing shows that the model saw it
    NO_ANSWER = "no_answer"  # asked alone, and no attempt got a usable answer
    NOTES_BLOCKED = "notes_blocked"  # a branch or the root refused its notes
    JOB_FAILED = "job_failed"  # the job ended before the image was processed
    SIMILAR = "similar"  # left out, because another image that is nearly the same stands for it


class ImageRefused(OverstoryError):
    """This image cannot be used; the other images continue."""

    def __init__(self, code: RefusalCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


CONTENT_STATUSES = frozenset({400, 413, 415, 422, 451})
"""Statuses that blame the content of a request. Any other status (a redirect, 404, 405, 407) comes
from a wrong URL, a proxy or a login portal, and would meet every request."""


class RequestRefused(OverstoryError):
    """The provider refused this request; the same request would be refused again.

    ``moderation`` is true for 451 and for finish_reason content_filter. The latter is paid, so
    ``reply`` keeps what came with it.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        moderation: bool = False,
        reply: Reply | None = None,
    ) -> None:
        super().__init__(status, kind, message, moderation, reply)
        self.status = status
        self.kind = kind
        self.message = message
        self.moderation = moderation
        self.reply = reply

    @property
    def of_content(self) -> bool:
        """Whether the content is to blame. A part of the request may then be accepted."""
        return self.moderation or self.status in CONTENT_STATUSES

    def __str__(self) -> str:
        return f"the provider refused the request ({self.status} {self.kind}): {self.message}"


class EndpointRefused(RequestRefused):
    """The endpoint refuses every request of this kind: the model or a setting is wrong."""

    @property
    def of_content(self) -> bool:
        return False


class RequestPart(StrEnum):
    """What an endpoint may limit in one request."""

    IMAGES = "images"
    TOKENS = "tokens"  # prompt and reply together: the context
    BYTES = "bytes"  # of the images, in base64
    PROVEN = "proven"  # pictures beside canaries that are read; only jobs with canaries keep to it


TOO_MUCH = "too much for one request"
"""How the text of TooMuch begins. Such refusals do not count towards giving up a job."""


class TooMuch(RequestRefused):
    """The endpoint takes fewer images, tokens or bytes in one request. ``most``: the limit that its
    message names, or None. A smaller request may be accepted."""

    def __init__(
        self, status: int, kind: str, message: str, part: RequestPart, most: int | None
    ) -> None:
        super().__init__(status, kind, message)
        self.args = (status, kind, message, part, most)
        self.part = part
        self.most = most

    def __str__(self) -> str:
        return f"{TOO_MUCH} ({self.status}): {self.message}"


class RequestForm(StrEnum):
    """How a request is written for an endpoint that refuses a part of the usual one. Stored beside
    the limits of one request."""

    COMPLETION_TOKENS = "completion_tokens"  # max_tokens is called max_completion_tokens
    NO_MAX_TOKENS = "no_max_tokens"  # neither name is taken
    REPLY_TOKENS = "reply_tokens"  # max_tokens is at most a number
    NO_TEMPERATURE = "no_temperature"
    NO_REASONING_EFFORT = "no_reasoning"
    NO_SYSTEM = "no_system"  # the system's text stands in the user's first turn
    NO_JSON_SCHEMA = "no_json_schema"  # JSON mode, with the schema in the prompt
    NO_RESPONSE_FORMAT = "no_json_mode"  # the prompt alone
    INLINE = "inline"  # images go inside the request; no URL is fetched
    JPEG = "jpeg"  # images are no WebP
    NO_DETAIL = "no_detail"


FORM_REFUSED = "a part of the request was refused"
"""How the text of FormRefused begins. Such refusals do not count towards giving up a job."""


class FormRefused(RequestRefused):
    """The endpoint refuses a part of each request. ``form``: how to write it, ``most``: the number
    that its message names, or None. The same request in that form may be accepted."""

    def __init__(
        self, status: int, kind: str, message: str, form: RequestForm, most: int | None
    ) -> None:
        super().__init__(status, kind, message)
        self.args = (status, kind, message, form, most)
        self.form = form
        self.most = most

    def __str__(self) -> str:
        return f"{FORM_REFUSED} ({self.status}): {self.message}"


class LimitKind(StrEnum):
    """The account limits a 429 can name."""

    CONCURRENCY = "concurrency"
    RPM = "rpm"
    TPM = "tpm"
    UNKNOWN = "unknown"


class SlowDown(OverstoryError):
    """A 429. Costs no attempt; the account's adaptive limit for ``kind`` is cut.

    ``limit``: the limit that the message named; ``retry_after``: seconds, from the header.
    """

    def __init__(
        self, kind: LimitKind, limit: int | None, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(kind, limit, message, retry_after)
        self.kind = kind
        self.limit = limit
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class ProviderDown(OverstoryError):
    """5xx, a timeout or a broken connection. ``sent``: the call may have been paid. ``lasting``:
    the text says something of its own, so the same request may be refused for ever."""

    def __init__(
        self, message: str, sent: bool, status: int | None = None, lasting: bool = False
    ) -> None:
        super().__init__(message, sent, status, lasting)
        self.message = message
        self.sent = sent
        self.status = status
        self.lasting = lasting


class AccountPaused(OverstoryError):
    """The account has no balance (402). Nothing fails; work waits until you top it up."""


class KeyRefused(OverstoryError):
    """The API key was refused: check OVERSTORY_API_KEY and the region in OVERSTORY_BASE_URL."""


class FileGone(OverstoryError):
    """The provider no longer has an uploaded file; the image must be uploaded again.

    ``file_id`` is the id, if the provider's message named one.
    """

    def __init__(self, message: str | None = None, file_id: str | None = None) -> None:
        super().__init__(message, file_id)
        self.message = message
        self.file_id = file_id


class BytesGone(OverstoryError):
    """The blob store no longer has the prepared bytes; the image must be prepared again."""


class FileStoreFull(OverstoryError):
    """The provider's file store is full: the account may keep no more files."""


class ReplyUnusable(OverstoryError):
    """The provider answered 200, but the reply cannot be used.

    ``reply`` holds what could be read, most importantly the usage; None if nothing could.
    ``lasting``: something other than a model answered, and may answer the same for ever.
    """

    def __init__(
        self, reason: str, message: str, reply: Reply | None = None, lasting: bool = False
    ) -> None:
        super().__init__(reason, message, reply, lasting)
        self.reason = reason
        self.message = message
        self.reply = reply
        self.lasting = lasting

    def __str__(self) -> str:
        return self.message
