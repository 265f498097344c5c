"""The links between the machines of ``make bench-machines``, and what they are made of."""

from __future__ import annotations

import pytest

from benchmarks.machines import network
from benchmarks.machines.links import CALM, Link, Links, address_bytes, both_ways
from benchmarks.machines.network import HOSTS, address
from benchmarks.machines.rows import ROWS

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
NAMES = {"a": A, "b": B, "c": C}


def packet(target: str, content: bytes = b"") -> bytes:
    """An IPv4 packet to ``target``, as far as a switch reads it."""
    return b"\x45" + bytes(15) + address_bytes(target) + content


def lost(links: Links, source: int, target: str, count: int = 1000) -> list[int]:
    """Which of so many packets do not arrive."""
    return [n for n in range(count) if links.take(source, packet(target), 0.0) is None]


@pytest.mark.parametrize(
    ("data", "goes_to"),
    [
        (packet(B), 1),
        (packet(C), 2),
        (packet("10.0.0.9"), None),  # nobody's address
        (b"\x60" + bytes(39), None),  # IPv6: routers are looked for on every device
        (b"\x45\x00", None),
        (b"", None),
    ],
)
def test_a_packet_goes_to_the_machine_of_its_address(data: bytes, goes_to: int | None) -> None:
    assert Links(NAMES, 1).take(0, data, 0.0) == goes_to


def test_delayed_packets_arrive_in_order_when_they_are_due() -> None:
    links = Links(NAMES, 1)
    links.set("a", "b", Link(delay=1.0))
    links.set("a", "c", Link(delay=0.2))
    for number in range(3):
        assert links.take(0, packet(B, bytes([number])), number / 10) is None
    assert links.take(0, packet(C), 0.3) is None
    assert links.next_due() == pytest.approx(0.5)
    assert [target for target, _ in links.due(0.6)] == [2]
    assert [data[-1] for _, data in links.due(1.15)] == [0, 1]
    assert [data[-1] for _, data in links.due(5.0)] == [2]
    assert links.next_due() is None


def test_a_packet_does_not_overtake_those_that_are_under_way() -> None:
    links = Links(NAMES, 1)
    links.set("a", "b", Link(delay=1.0))
    links.take(0, packet(B, b"\x01"), 0.0)
    links.set("a", "b", CALM)
    assert links.take(0, packet(B, b"\x02"), 0.5) is None
    assert [data[-1] for _, data in links.due(1.0)] == [1, 2]
    assert links.take(0, packet(B), 1.1) == 1


def test_a_link_that_is_down_loses_one_direction_alone() -> None:
    links = Links(NAMES, 1)
    links.set("a", "b", Link(down=True))
    assert len(lost(links, 0, B)) == 1000
    assert lost(links, 1, A) == []
    assert lost(links, 0, C) == []
    links.set("a", "b", CALM)
    assert lost(links, 0, B) == []


def test_the_seed_and_the_links_own_traffic_choose_what_is_lost() -> None:
    def losing(seed: int) -> Links:
        links = Links(NAMES, seed)
        for one, other in both_ways(["a"], ["b", "c"]):
            links.set(one, other, Link(loss=0.05))
        return links

    alone, beside = losing(1), losing(1)
    lost(beside, 0, C)  # another link's traffic
    first = lost(alone, 0, B)
    assert first == lost(beside, 0, B)
    assert 25 <= len(first) <= 80
    assert first != lost(losing(2), 0, B)


def test_both_ways_names_every_direction_once() -> None:
    ways = both_ways(["a", "b"], ["b", "c"])
    assert sorted(ways) == [
        ("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b"),
    ]  # fmt: skip


def test_no_row_breaks_a_link_of_the_harness_for_good() -> None:
    """What judges must reach the servers while a link is down."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        ends = {end for way in row.ways for end in way}
        assert ends <= set(HOSTS)
        assert network.CONTROL not in ends or not row.link.down


def test_addresses_are_all_different_and_of_the_benchmarks_network() -> None:
    assert len({address(name) for name in HOSTS}) == len(HOSTS)
    assert all(address(name).startswith("198.18.") for name in HOSTS)


def test_who_is_not_root_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.os, "geteuid", lambda: 1000)
    assert network.what_is_missing().startswith("root")
    monkeypatch.setattr(network.os, "geteuid", lambda: 0)
    monkeypatch.setattr(network.shutil, "which", lambda name: None)
    assert "iproute2" in network.what_is_missing()
