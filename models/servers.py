"""The servers of one URL: which of several is tried first, and which no longer answers.

libpq alone would take the first server that takes writes. A primary that was lost and starts again
takes writes too, and is not the primary any more. A promotion raises a server's timeline, so the
server with the higher one is right.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

log = structlog.get_logger()

Place = tuple[str, str]
"""A host and a port."""
Names = Mapping[str, Any]
"""Parameters of a connection."""

TIMELINE: Final = (
    "SELECT CASE WHEN NOT pg_is_in_recovery()"
    " THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END"
)
LOOK_SECONDS = 5.0
LOOKS = 3
"""A connection that waits for its server in so many looks is doubted."""
CLOSE_SECONDS = 1.0
PROBES = 2
"""Probes in vain, until a doubted server's connections are cut."""


class Servers:
    """Connects to the right one of several servers. Not thread-safe."""

    def __init__(self, connect: Callable[[Names], Any], driver: Any) -> None:
        self._connect = connect
        self._driver = driver
        self._last: Place | None = None
        self._timeline = 0
        self._looks_at_all = True

    def doubt(self) -> None:
        """A connection broke: the next one looks at all servers again, because the one that is
        lost may come back beside its successor."""
        self._looks_at_all = True

    def connect(self, names: Names) -> Any:
        """A connection. Raises the driver's OperationalError if no server can be used."""
        places = _places(names)
        if len(places) < 2:
            return self._connect(names)
        places.sort(key=lambda place: place != self._last)
        failures, found = [], []
        for place in places:
            try:
                connection = self._connect(_only(names, place))
            except self._driver.OperationalError as error:
                failures.append(f"{':'.join(place)}: {_reason(error)}")
                continue
            timeline = _timeline(connection, self._driver)
            if timeline < self._timeline:
                connection.close()
                failures.append(f"{':'.join(place)}: {_stale(timeline, self._timeline)}")
                continue
            found.append((timeline, place, connection))
            if not self._looks_at_all:
                break
        if not found:
            raise self._driver.OperationalError(
                f"no server of the URL can be used: {'; '.join(failures)}"
            )
        best = max(found, key=lambda one: one[0])
        for other in found:
            if other is not best:
                other[2].close()
        self._timeline, self._last, connection = best
        self._looks_at_all = False
        return connection


def _places(names: Names) -> list[Place]:
    hosts = str(names.get("host", "")).split(",")
    ports = str(names.get("port", "")).split(",")
    return list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))


def _only(names: Names, place: Place) -> dict[str, Any]:
    host, port = place
    return {**names, "host": host, **({"port": port} if port else {})}


def _timeline(connection: Any, driver: Any) -> int:
    """The server's timeline; 0 for a standby, and for a server that does not tell."""
    connection.autocommit = True
    try:
        return int(connection.execute(TIMELINE).fetchone()[0] or 0)
    except driver.Error:
        return 0
    finally:
        with contextlib.suppress(driver.Error):  # broken: its first statement says so
            connection.autocommit = False


def _stale(timeline: int, newer: int) -> str:
    return (
        f"it was the primary before a failover (timeline {timeline}, and {newer} was seen): stop"
        " it, and make it a standby of the new primary"
    )


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rpartition("failed: ")[2]


class Watch:
    """Cuts the connections to a server that answers nobody.

    A server whose processes stand still (a hung disk, a stopped container) keeps its sockets open.
    Its machine goes on to acknowledge what we send, so no timeout of TCP ends a wait for its reply.
    A slow statement is left alone: its server answers a new connection.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._open: weakref.WeakKeyDictionary[Any, Names] = weakref.WeakKeyDictionary()
        self._busy: dict[int, int] = {}  # connection: looks at which it waited
        self._vain: dict[Place, int] = {}  # server: probes in vain
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def add(self, connection: Any, names: Names) -> None:
        """Watch ``connection``, which was opened with ``names``."""
        info = connection.info
        with self._lock:
            self._open[connection] = _only(names, (info.host, str(info.port)))
            if self._thread is None or not self._thread.is_alive():
                self._ended = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._ended,), name="database", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Stop looking; the next connection begins anew."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(LOOK_SECONDS):
            with self._lock:
                watched = [(c, names) for c, names in self._open.items() if not c.closed]
                if not watched:
                    self._thread = None  # the next connection starts another
                    return
            self.look(watched)

    def look(self, watched: list[tuple[Any, Names]]) -> None:
        """Probe each server for which a connection has waited for long."""
        active = self._driver.pq.TransactionStatus.ACTIVE
        self._busy = {
            id(c): self._busy.get(id(c), 0) + 1
            for c, _ in watched
            if c.info.transaction_status == active
        }
        doubted = {_places(n)[0]: n for c, n in watched if self._busy.get(id(c), 0) >= LOOKS}
        self._vain = {place: self._vain.get(place, 0) for place in doubted}
        for place, names in doubted.items():
            self._vain[place] = 0 if self._answers(names) else self._vain[place] + 1
            if self._vain[place] >= PROBES:
                log.warning("database.silent", server=":".join(place))
                for connection, its_names in watched:
                    if _places(its_names)[0] == place:
                        _cut(connection)

    def _answers(self, names: Names) -> bool:
        """Whether the server answers a new connection, if only by refusing it."""
        try:
            self._driver.connect(**{**names, "target_session_attrs": "any"}).close()
        except self._driver.errors.ConnectionTimeout:
            return False
        except self._driver.Error:
            return True
        return True


def _cut(connection: Any) -> None:
    """End the wait of the thread that uses the connection, as if the server had closed it."""
    # its user may have closed it meanwhile
    with (
        contextlib.suppress(Exception),
        socket.socket(fileno=os.dup(connection.fileno())) as link,
    ):
        link.shutdown(socket.SHUT_RDWR)
