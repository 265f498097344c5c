"""What a Redis or Valkey that cannot be used says, in plain words, and what cures it.

The one table of such texts. Commands, workers, the reconciler and the doctor show its sentences.
The texts are those of Redis 7, Valkey 9, OpenSSL and redis-py 8, which drops the codes of some.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """``Redis <says>: <cure>``. ``passes``: whether it may end while we wait, without a new setting
    of ours."""

    says: str
    cure: str
    passes: bool = False


_ONE_DATABASE = Refusal(
    "has no database of that number",
    "end the URL with a number that it has (most hosted servers have only /0), and set"
    " OVERSTORY_LIMITER_URL too, whose default is database 1 of the broker's server",
)
_CLUSTER = Refusal(
    "runs as a cluster, which Celery cannot use",
    "set OVERSTORY_BROKER_URL to a server without cluster mode",
)
_NO_PERMISSION = "does not allow its user what Overstory needs"
_ALLOW = "give the user of the URL the rights that docs/service.md lists (A broker of your own)"
_FULL = Refusal(
    "is full and takes no message",
    "free memory or raise its maxmemory; the work goes on by itself then",
    passes=True,
)
_UNTRUSTED = Refusal(
    "shows a certificate that is not trusted",
    "add ?ssl_ca_certs=FILE with the certificate of its authority to the URL, or for a test"
    " ?ssl_cert_reqs=none",
)

REFUSALS: tuple[tuple[str, Refusal], ...] = (
    (
        r"unknown command.{0,3}sentinel",
        Refusal(
            "is not a sentinel", "name the port of the sentinels in the URL, which is usually 26379"
        ),
    ),
    (
        r"previous master is now",
        Refusal(
            "was the primary, and its sentinels choose another",
            "wait; the work goes on by itself then",
            passes=True,
        ),
    ),
    (r"DB index is out of range|invalid DB index", _ONE_DATABASE),
    (r"SELECT is not allowed in cluster mode", _CLUSTER),
    (r"SELECT (command )?is not (allowed|supported)|unknown command.{0,3}select", _ONE_DATABASE),
    (r"\bMOVED\b|MovedError|\bASK \d|CLUSTERDOWN|ClusterDownError|CROSSSLOT|CrossSlot", _CLUSTER),
    (r"cluster support|not allowed in cluster mode|hash slot", _CLUSTER),
    (
        r"WRONGPASS|invalid username-password pair|invalid password",
        Refusal("refuses the user name or the password", "correct them in the URL"),
    ),
    (
        r"NOAUTH|Authentication required|client already authenticated",
        Refusal("asks for a password", "write it into the URL: redis://:PASSWORD@HOST:6379/0"),
    ),
    (
        r"without any password configured|no password is set",
        Refusal("has no password, and the URL has one", "take the password out of the URL"),
    ),
    (
        r"NOPERM|NoPermissionError|no permissions? to (run|access)|EXEC without MULTI",
        Refusal(_NO_PERMISSION, _ALLOW),
    ),
    (
        r"READONLY|ReadOnlyError|read only replica|read-only replica",
        Refusal(
            "is a read-only replica",
            "name the primary in the URL, or its sentinels:"
            " sentinel://HOST:26379/0?master_name=NAME",
        ),
    ),
    (
        r"MISCONF",
        Refusal(
            "cannot save to its disk and takes no message",
            "free its disk, or set stop-writes-on-bgsave-error no; the work goes on then",
            passes=True,
        ),
    ),
    (r"\bOOM\b|OutOfMemoryError|> 'maxmemory'", _FULL),
    (
        r"max number of clients",
        Refusal(
            "has as many clients as it takes",
            "close some, or raise its maxclients; the work goes on by itself then",
            passes=True,
        ),
    ),
    (
        r"protected mode",
        Refusal(
            "is in protected mode and takes only clients of its own machine",
            "give it a password (requirepass), and write the password into the URL",
        ),
    ),
    (
        r"NOREPLICAS|Not enough good replicas",
        Refusal(
            "has too few replicas to take a message",
            "start them, or lower its min-replicas-to-write",
            passes=True,
        ),
    ),
    (
        r"LOADING|BusyLoading|loading the dataset|\bBUSY\b|MASTERDOWN|MasterDown|TRYAGAIN",
        Refusal("is starting or busy", "wait; the work goes on by itself then", passes=True),
    ),
    (
        r"No master found for '[^']*' : ",
        Refusal(
            "has no primary that its sentinels name, or they do not answer",
            "check the sentinels, their addresses, sentinel_password and master_name in the URL",
            passes=True,
        ),
    ),
    (
        r"MasterNotFoundError|No master found",
        Refusal(
            "has no primary of that name, as its sentinels say",
            "correct master_name in the URL, or start the primary",
            passes=True,
        ),
    ),
    (
        r"unknown command|unsupported command|command .{0,40}not (supported|allowed|available)",
        Refusal(
            "lacks a command that Overstory needs",
            "use a Redis 6.2 or newer, or a Valkey, with scripts and publish/subscribe",
        ),
    ),
    (
        r"Hostname mismatch|IP address mismatch|doesn't match",
        Refusal(
            "shows a certificate for another name than the URL's",
            "write the name of the certificate into the URL, or add ?ssl_check_hostname=false",
        ),
    ),
    (
        r"certificate has expired",
        Refusal("shows a certificate that has expired", "renew the certificate of the server"),
    ),
    (r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", _UNTRUSTED),
    (
        r"WRONG_VERSION_NUMBER|wrong version number|record layer failure|RECORD_LAYER",
        Refusal("does not speak TLS", "write redis:// instead of rediss:// in the URL"),
    ),
    (
        r"certificate required|CERTIFICATE_REQUIRED|alert handshake failure|bad certificate",
        Refusal(
            "asks for a certificate of ours",
            "add ?ssl_certfile=FILE&ssl_keyfile=FILE to the URL",
        ),
    ),
    (
        r"Connection closed by server|Connection reset by peer|Server closed the connection",
        Refusal(
            "closes the connection without an answer",
            "check that the port is the one of a Redis; if it wants TLS, write rediss://",
        ),
    ),
    (
        r"Protocol Error|Protocol error|InvalidResponse",
        Refusal(
            "answers in another protocol: it is not a Redis or Valkey", "correct host and port"
        ),
    ),
)
"""What an error's class or text holds, the more telling ones first."""

_PATTERNS = [(re.compile(text, re.IGNORECASE), refusal) for text, refusal in REFUSALS]


def refusal_of(error: BaseException) -> Refusal | None:
    """What a server's answer means; None if nothing answers, or in words that are not known."""
    for cause in _causes(error):
        text = f"{type(cause).__name__}: {cause}"
        for pattern, refusal in _PATTERNS:
            if pattern.search(text):
                return _named(refusal, text)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what libraries wrapped in it."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__


def _named(refusal: Refusal, text: str) -> Refusal:
    """With the command that the user lacks, if the server names it."""
    command = re.search(r"run the '([\w|]+)'", text)
    if refusal.says != _NO_PERMISSION or command is None:
        return refusal
    return Refusal(f"{refusal.says}: the command {command[1]}", refusal.cure)
