"""The one switch that all machines hang on: a tun device of each, and links between them.

``python -m benchmarks.machines.switch CONFIG`` makes the devices that CONFIG (JSON) names, says
``ready``, and forwards their packets until its standard input ends. Each line there is a list of
changes [source, target, {delay, loss, down}], answered by a line ``set``.

The kernel of a container often has no netem, so nothing of it is used: a user's process between tun
devices gives delay, loss and partitions to real TCP connections everywhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import struct
import sys
import time

from benchmarks.machines.links import Link, Links

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
TUN = "/dev/net/tun"
PACKET_BYTES = 65_536
AT_ONCE = 64
"""Packets read of one device before the others get their turn."""
CONTROL = -1


def tun_device(name: str) -> int:
    """A new tun device, as the descriptor of its packets. It is gone when that is closed."""
    descriptor = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        request = struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI)
        fcntl.ioctl(descriptor, TUNSETIFF, request)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def main() -> None:
    config = json.loads(sys.argv[1])
    machines = config["machines"]  # name: [device, address]
    links = Links({name: address for name, (_, address) in machines.items()}, config["seed"])
    devices = [tun_device(device) for device, _ in machines.values()]
    print("ready", flush=True)
    with selectors.EpollSelector() as selector:
        for number, descriptor in enumerate(devices):
            selector.register(descriptor, selectors.EVENT_READ, number)
        selector.register(0, selectors.EVENT_READ, CONTROL)
        while _forward(selector, links, devices):
            pass


def _forward(selector: selectors.BaseSelector, links: Links, devices: list[int]) -> bool:
    """One turn. False when the harness has ended."""
    due = links.next_due()
    wait = None if due is None else max(due - time.monotonic(), 0.0)
    for key, _ in selector.select(wait):
        if key.data == CONTROL:
            if not _obey(links):
                return False
        else:
            _read(key.data, links, devices)
    for target, packet in links.due(time.monotonic()):
        _write(devices[target], packet)
    return True


def _read(source: int, links: Links, devices: list[int]) -> None:
    now = time.monotonic()
    with contextlib.suppress(BlockingIOError):
        for _ in range(AT_ONCE):
            packet = os.read(devices[source], PACKET_BYTES)
            target = links.take(source, packet, now)
            if target is not None:
                _write(devices[target], packet)


def _write(descriptor: int, packet: bytes) -> None:
    """Hand a packet to its machine; one that it cannot take is lost, as in any network."""
    with contextlib.suppress(OSError):
        os.write(descriptor, packet)


def _obey(links: Links) -> bool:
    line = sys.stdin.readline()
    if not line:
        return False
    for source, target, changed in json.loads(line):
        links.set(source, target, Link(**changed))
    print("set", flush=True)
    return True


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
