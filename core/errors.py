"""Every error Overstory raises. The class is the decision; the scope says what it touches.

An error whose constructor gets no message shows its docstring, so the docstring is written for
the person who reads it. All arguments go to ``super().__init__`` so that errors survive pickling
between worker processes.
"""

from __future__ import annotations

from enum import StrEnum

from core.reply import Reply


class OverstoryError(Exception):
    """Overstory failed in a way it has no better word for."""

    def __str__(self) -> str:
        if self.args:
            return str(self.args[0])
        return (self.__doc__ or "").strip().splitlines()[0]


class WrongUsage(OverstoryError):
    """The command or message asks for something that cannot be done."""


class ServiceAway(OverstoryError):
    """A service Overstory stands on (broker, database, blob store) does not answer."""


class RefusalCode(StrEnum):
    """Why an image was refused: a closed set, stored on the image row and counted by analysts."""

    MISSING = "missing"  # no such file any more
    UNREADABLE = "unreadable"  # permissions, or an I/O error while reading
    EMPTY = "empty"  # zero bytes
    NOT_AN_IMAGE = "not_an_image"  # the content is of no format we read
    TRUNCATED = "truncated"  # the data ends early
    CORRUPT = "corrupt"  # the decoder gave up
    TOO_MANY_PIXELS = "too_many_pixels"  # decompression bomb, by declared size
    TOO_LARGE_FILE = "too_large_file"  # more bytes than configured
    ABSURD_ASPECT = "absurd_aspect"  # a sliver no model can see
    OUTSIDE_FOLDER = "outside_folder"  # a symlink leaves the given folder
    NO_SUCH_PAGE = "no_such_page"  # a page number beyond the document
    TOO_MANY_PAGES = "too_many_pages"  # a document beyond the configured number of pages
    ENCRYPTED = "encrypted"  # a document that asks for a password
    URL_REFUSED = "url_refused"  # scheme, host or address not allowed
    URL_FAILED = "url_failed"  # the download failed
    BLOCKED = "blocked"  # the provider's moderation refused it
    REFUSED_BY_PROVIDER = "refused_by_provider"  # the provider answered 400 for this image alone
    UPLOAD_FAILED = "upload_failed"  # the provider's file store would not take it
    POISON = "poison"  # workers died or gave up on it too often
    NO_ANSWER = "no_answer"  # asked by itself, and no form of the question got a usable answer
    NOTES_BLOCKED = "notes_blocked"  # the notes about it were refused higher in the tree
    JOB_FAILED = "job_failed"  # the job ended before it was its turn


class ImageRefused(OverstoryError):
    """This image cannot be used; every other image goes on."""

    def __init__(self, code: RefusalCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


CONTENT_STATUSES = frozenset({400, 413, 415, 422, 451})
"""With these an endpoint refuses what is in a request. Any other status (a redirect, 404, 405, 407)
is of its address, a proxy or a portal, and would meet every request."""


class RequestRefused(OverstoryError):
    """The provider refused this request as it stands; sending it again would be refused again.

    ``moderation`` is true for 451 and finish_reason content_filter; ``reply`` is what came with
    the latter, for it was paid.
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
        """Whether what was sent is to blame: then a part of it alone may be."""
        return self.moderation or self.status in CONTENT_STATUSES

    def __str__(self) -> str:
        return f"the provider refused the request ({self.status} {self.kind}): {self.message}"


class LimitKind(StrEnum):
    """The account limits a 429 can name."""

    CONCURRENCY = "concurrency"
    RPM = "rpm"
    TPM = "tpm"
    UNKNOWN = "unknown"


class SlowDown(OverstoryError):
    """A 429. Costs no attempt; the account's gauge for ``kind`` is cut.

    ``limit`` is the limit the message named, or None; ``retry_after`` seconds, if a header had it.
    """

    def __init__(
        self,
        kind: LimitKind,
        limit: int | None,
        message: str,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(kind, limit, message, retry_after)
        self.kind = kind
        self.limit = limit
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class ProviderDown(OverstoryError):
    """5xx, a timeout or a broken connection. ``sent`` is true if the call may have been paid."""

    def __init__(self, message: str, sent: bool, status: int | None = None) -> None:
        super().__init__(message, sent, status)
        self.message = message
        self.sent = sent
        self.status = status


class AccountPaused(OverstoryError):
    """The account has no balance (402). Nothing fails; work waits until it is topped up."""


class KeyRefused(OverstoryError):
    """The API key was refused: check OVERSTORY_API_KEY, and OVERSTORY_BASE_URL for its region."""


class FileGone(OverstoryError):
    """A file id is no longer known to the provider; the image must be uploaded again.

    ``file_id`` is the id, if the provider's message named one.
    """

    def __init__(self, message: str | None = None, file_id: str | None = None) -> None:
        super().__init__(message, file_id)
        self.message = message
        self.file_id = file_id

    def __str__(self) -> str:
        return self.message or "A file id is no longer known to the provider."


class BytesGone(OverstoryError):
    """Prepared bytes are no longer in the blob store: the image must be prepared again."""


class FileStoreFull(OverstoryError):
    """The provider's file store holds as many files as the account may keep."""


class ReplyUnusable(OverstoryError):
    """The provider answered 200 with something that cannot be used.

    ``reply`` holds what could be read of it, usage above all; None if nothing could.
    """

    def __init__(self, reason: str, message: str, reply: Reply | None = None) -> None:
        super().__init__(reason, message, reply)
        self.reason = reason
        self.message = message
        self.reply = reply

    def __str__(self) -> str:
        return self.message
