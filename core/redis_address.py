"""The address of a Redis or Valkey server, as a setting spells it.

    redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]
    rediss://...?ssl_ca_certs=FILE                     TLS, verified unless ssl_cert_reqs=none
    redis+socket:///PATH?virtual_host=DATABASE         a Unix socket; also unix:///PATH?db=DATABASE
    sentinel://HOST[:PORT],HOST[:PORT]/DATABASE?master_name=NAME   the primary that Sentinel names

Celery, kombu and redis-py each read such a URL in another way, and differ in what they verify. So
every part of Overstory gets its connection from the one value here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

REDIS_PORT, SENTINEL_PORT = 6379, 26379
EXAMPLE = "redis://HOST:6379/0"
OTHERS = {
    **dict.fromkeys(("amqp", "amqps", "pyamqp", "librabbitmq"), "RabbitMQ"),
    **dict.fromkeys(("sqs", "sqs+https"), "Amazon SQS"),
    **dict.fromkeys(("gcpubsub", "azureservicebus"), "a message service of a cloud"),
    **dict.fromkeys(("kafka", "confluentkafka"), "Kafka"),
    **dict.fromkeys(("http", "https"), "a web server"),
}
"""Servers that people name instead, by the scheme of the URL."""
VERIFICATION = {
    "required": "required",
    "optional": "optional",
    "none": "none",
    "cert_required": "required",
    "cert_optional": "optional",
    "cert_none": "none",
}
"""Spellings of ssl_cert_reqs: those of redis-py and those of Celery."""
TLS_OPTIONS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SENTINEL_OPTIONS = ("master_name", "sentinel_username", "sentinel_password", "ssl")
OWN_OPTIONS = (
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval"),
    *("max_connections", "retry_on_timeout", "client_name", "protocol", "timeout"),
    "decode_responses",
)
"""Options of redis-py that we set ourselves: read over in a URL."""
YES = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

_USER_OR_HOST = re.compile(r"://[^:/?#@]*:(?!\d+/)")
"""What stands before a password; but not before a port, as in ``host:6379/0?client=a@b``."""
_PIECES = re.compile(r"[/?#@]")
_QUERY = re.compile(r"[?#]")


CUT = "its password holds a /, ? or #: write %2F, %3F, %23 (and %40 for @)"


def has_cut_password(url: str) -> bool:
    """Whether the password of ``url`` holds a character that ends it early: a /, ? or #."""
    return any(_is_cut(url, user.end()) for user in _USER_OR_HOST.finditer(url))


def _is_cut(url: str, start: int) -> bool:
    """Whether a password that starts there has a sign in it at which a library would cut it.

    True for ``u:a/b@host``, false for ``u:p@host/x?client=a@b``.
    """
    end = url.find("@", start)
    if end < 0:
        return False
    if _PIECES.search(url, start, end):
        return True
    slash = url.find("/", end)
    query = _QUERY.search(url, end)
    return 0 <= slash < url.rfind("@", end, query.start() if query else len(url))


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted. ``cert_reqs``: required, optional or none. Files are paths."""

    cert_reqs: str = "required"
    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    check_hostname: bool = True

    def options(self) -> dict[str, str | bool]:
        """Options with the names that redis-py, kombu and Celery share."""
        files = {
            "ssl_ca_certs": self.ca_certs,
            "ssl_certfile": self.certfile,
            "ssl_keyfile": self.keyfile,
        }
        return {
            "ssl_cert_reqs": self.cert_reqs,
            "ssl_check_hostname": self.check_hostname,
            **{name: path for name, path in files.items() if path is not None},
        }


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One database of a server. ``hosts``: the server, or the sentinels if ``master_name`` is set.
    ``path``: of a Unix socket, instead of hosts."""

    hosts: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    username: str | None = None
    password: str | None = None
    database: int = 0
    tls: Tls | None = None
    master_name: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None

    def with_database(self, number: int) -> RedisAddress:
        return replace(self, database=number)

    def url(self) -> str:
        """A URL that ``parse`` reads back. Celery takes it as broker and as result backend, but a
        sentinel's only without its query: see ``celery_url``."""
        if self.master_name is None:
            return self.celery_url()
        query: dict[str, str | bool | None] = {
            "master_name": self.master_name,
            "sentinel_username": self.sentinel_username,
            "sentinel_password": self.sentinel_password,
            **(self.tls.options() if self.tls else {}),
        }
        hosts = ",".join(_netloc(*host) for host in self.hosts)
        return f"sentinel://{self._user()}{hosts}/{self.database}?{_query(query)}"

    def celery_url(self) -> str:
        """The URL for Celery. The name of a sentinel's primary is an option of its transport."""
        if self.path is not None:
            path = quote(self.path, safe="/ :@+,;=!&$~()[]")
            return f"redis+socket://{self._user()}{path}?virtual_host={self.database}"
        places = [f"{self._user()}{_netloc(*host)}/{self.database}" for host in self.hosts]
        if self.master_name is not None:
            return ";".join(f"sentinel://{place}" for place in places)
        if self.tls is None:
            return f"redis://{places[0]}"
        return f"rediss://{places[0]}?{_query(dict(self.tls.options()))}"

    def _user(self) -> str:
        if self.username is None and self.password is None:
            return ""
        password = "" if self.password is None else f":{quote(self.password, safe='')}"
        return f"{quote(self.username or '', safe='')}{password}@"


def parse(url: str) -> RedisAddress:
    """The address that ``url`` names. Raises ValueError with what is wrong, without a password."""
    scheme, separator, rest = url.strip().partition("://")
    scheme = scheme.lower()
    if not separator:
        raise ValueError(f"it is not a URL: write {EXAMPLE}")
    if scheme == "sentinel":
        return _sentinel(rest)
    if scheme in ("unix", "redis+socket"):
        return _socket(rest)
    if scheme in ("redis", "rediss"):
        return _server(rest, scheme == "rediss")
    raise ValueError(_other(scheme))


def _other(scheme: str) -> str:
    if scheme in ("valkey", "valkeys"):
        return f"write redis{scheme[6:]}:// for a Valkey"
    known = OTHERS.get(scheme)
    return (
        f"{scheme}://{f' is {known}, and it' if known else ''} cannot be used: Overstory keeps the"
        " account's limits beside the queues and reads their lengths, which takes a Redis or a"
        f" Valkey; set {EXAMPLE}, or unset it to run an embedded Valkey"
    )


def _server(rest: str, encrypted: bool) -> RedisAddress:
    parts = _split(rest)
    options = _options(parts.query, ("db", "virtual_host", *TLS_OPTIONS))
    asked = [name for name in TLS_OPTIONS if name in options]
    if asked and not encrypted:
        raise ValueError(f"{asked[0]} belongs to TLS: write rediss:// instead of redis://")
    return RedisAddress(
        hosts=(_host(parts.netloc.rpartition("@")[2], REDIS_PORT),),
        username=_unquoted(parts.username),
        password=_unquoted(parts.password),
        database=_database(parts.path.strip("/"), options),
        tls=_tls(options) if encrypted else None,
    )


def _socket(rest: str) -> RedisAddress:
    parts = _split(rest)
    options = _options(parts.query, ("db", "virtual_host"))
    if not parts.path.strip("/"):
        raise ValueError("it names no socket: write redis+socket:///PATH?virtual_host=0")
    return RedisAddress(
        path=unquote(parts.path),
        username=_unquoted(parts.username),
        password=_unquoted(parts.password),
        database=_database("", options),
    )


def _sentinel(rest: str) -> RedisAddress:
    """Several sentinels are separated by commas, or in Celery's way: ``;sentinel://``."""
    first, *others = (part.removeprefix("sentinel://") for part in rest.split(";"))
    parts = [_split(part) for part in (first, *others)]
    query = "&".join(part.query for part in parts if part.query)
    options = _options(query, ("db", "virtual_host", *TLS_OPTIONS, *SENTINEL_OPTIONS))
    if not options.get("master_name"):
        raise ValueError(
            "it does not say which primary the sentinels watch: end it with ?master_name=NAME"
        )
    places = [place for part in parts for place in part.netloc.rpartition("@")[2].split(",")]
    encrypted = _yes("ssl", options.get("ssl", "false")) or any(n in options for n in TLS_OPTIONS)
    return RedisAddress(
        hosts=tuple(_host(place, SENTINEL_PORT) for place in places),
        username=_unquoted(parts[0].username),
        password=_unquoted(parts[0].password),
        database=_database(parts[0].path.strip("/"), options),
        tls=_tls(options) if encrypted else None,
        master_name=options["master_name"],
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
    )


def _tls(options: dict[str, str]) -> Tls:
    spelled = options.get("ssl_cert_reqs", "required")
    if spelled.lower() not in VERIFICATION:
        raise ValueError(f"ssl_cert_reqs={spelled} is unknown: write required, optional or none")
    cert_reqs = VERIFICATION[spelled.lower()]
    by_default = "false" if cert_reqs == "none" else "true"
    wanted = _yes("ssl_check_hostname", options.get("ssl_check_hostname", by_default))
    return Tls(
        cert_reqs=cert_reqs,
        ca_certs=options.get("ssl_ca_certs"),
        certfile=options.get("ssl_certfile"),
        keyfile=options.get("ssl_keyfile"),
        check_hostname=wanted and cert_reqs != "none",  # without a certificate there is no name
    )


def _split(rest: str) -> SplitResult:
    try:
        parts = urlsplit(f"redis://{rest}")
    except ValueError:  # its message may quote the password
        raise ValueError(f"it cannot be read: write {EXAMPLE}") from None
    return parts


def _host(place: str, port: int) -> tuple[str, int]:
    parts = _split(place.strip())
    try:
        return unquote(parts.hostname or "127.0.0.1"), parts.port or port
    except ValueError:
        raise ValueError(f"its port is not a number from 1 to 65535: write {EXAMPLE}") from None


def _database(path: str, options: dict[str, str]) -> int:
    text = options.get("db", options.get("virtual_host", path)).strip("/") or "0"
    if not text.isdecimal():
        raise ValueError(f"its database is not a number: write {EXAMPLE}")
    return int(text)


def _options(query: str, known: tuple[str, ...]) -> dict[str, str]:
    options = dict(parse_qsl(query))
    for name in options:
        if name not in known and name not in OWN_OPTIONS:
            raise ValueError(f"its option {name} is unknown; known are {', '.join(known)}")
    return options


def _yes(name: str, value: str) -> bool:
    if value.lower() not in YES:
        raise ValueError(f"{name} is true or false")
    return YES[value.lower()]


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _query(options: dict[str, str | bool | None]) -> str:
    given = {name: value for name, value in options.items() if value is not None}
    return urlencode({n: str(v).lower() if isinstance(v, bool) else v for n, v in given.items()})
