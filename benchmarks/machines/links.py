"""The links between machines: which packets arrive, and when. No clock, no socket."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

DESTINATION = slice(16, 20)
"""Where an IPv4 header has the destination."""
IPV4 = 4
MOST_WAITING = 20_000
"""Packets under way. A router drops what its queue cannot hold, and TCP sends it again."""


@dataclass(frozen=True, slots=True)
class Link:
    """One direction between two machines. ``delay``: seconds. ``loss``: a share of the packets."""

    delay: float = 0.0
    loss: float = 0.0
    down: bool = False


CALM = Link()


def address_bytes(address: str) -> bytes:
    """An IPv4 address as in a header."""
    return bytes(int(part) for part in address.split("."))


class Links:
    """All links of a switch. Machines are numbered in the order of ``addresses``.

    Whether a link loses a packet depends on the seed, the link, and how many it has carried; so one
    link's traffic does not change what another loses.
    """

    def __init__(self, addresses: Mapping[str, str], seed: int) -> None:
        self.names = list(addresses)
        self._machine_at = {
            address_bytes(address): number for number, address in enumerate(addresses.values())
        }
        self._links: dict[tuple[int, int], Link] = {}
        self._draws: dict[tuple[int, int], random.Random] = {}
        self._seed = seed
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._last_due: dict[tuple[int, int], float] = {}
        self._count = itertools.count()

    def set(self, source: str, target: str, link: Link) -> None:
        """Change one direction. Packets that are under way arrive as before."""
        self._links[self.names.index(source), self.names.index(target)] = link

    def take(self, source: int, packet: bytes, now: float) -> int | None:
        """A packet of machine ``source``. Returns the machine that gets it now; None if it gets it
        later (``due``) or never."""
        target = self._machine_at.get(packet[DESTINATION]) if _is_ipv4(packet) else None
        if target is None:
            return None
        way = (source, target)
        link = self._links.get(way, CALM)
        if link.down or (link.loss and self._draw(way) < link.loss):
            return None
        due = max(now + link.delay, self._last_due.get(way, 0.0))  # no packet overtakes another
        if due <= now:
            return target
        if len(self._waiting) < MOST_WAITING:
            self._last_due[way] = due
            heapq.heappush(self._waiting, (due, next(self._count), target, packet))
        return None

    def due(self, now: float) -> Iterator[tuple[int, bytes]]:
        """Delayed packets that arrive now, with their machines, in order."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._waiting)
            yield target, packet

    def next_due(self) -> float | None:
        """When the next delayed packet arrives."""
        return self._waiting[0][0] if self._waiting else None

    def _draw(self, way: tuple[int, int]) -> float:
        draws = self._draws.get(way)
        if draws is None:
            draws = self._draws[way] = random.Random(f"{self._seed}/{way[0]}/{way[1]}")
        return draws.random()


def both_ways(machines: Collection[str], others: Collection[str]) -> list[tuple[str, str]]:
    """Every direction between one of ``machines`` and one of ``others``."""
    pairs = {(one, other) for one in machines for other in others if one != other}
    return sorted(pairs | {(other, one) for one, other in pairs})


def _is_ipv4(packet: bytes) -> bool:
    return len(packet) >= DESTINATION.stop and packet[0] >> 4 == IPV4
