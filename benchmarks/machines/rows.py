"""What is broken in each row, for how long, and who may be paid twice for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.machines.links import Link, both_ways
from benchmarks.machines.network import CONTROL, HOSTS, WORKERS

DOWN = Link(down=True)
BROKEN_SECONDS = 10.0
"""More than two of the row's leases."""
ALL = "all"


@dataclass(frozen=True)
class Row:
    """``ways``: what gets ``link``. ``seconds``: for how long; None: until the jobs have ended, and
    with ``at`` start from before they are submitted. ``victims``: machines whose calls in flight
    may be paid twice. ``at``: images while images are prepared and uploaded, calls while calls are
    in flight, start before the job, commands: there is no job, but a person's commands."""

    name: str
    title: str
    ways: Sequence[tuple[str, str]] = ()
    link: Link = DOWN
    seconds: float | None = BROKEN_SECONDS
    victims: Sequence[str] = ()
    at: str = "calls"
    clocks: Mapping[str, float] = field(default_factory=dict)
    most_seconds: float = 120.0  # for the jobs, from the fault on
    size: float = 1.0  # of the jobs, where they would take too long


def _cut(server: str, machine: str) -> Row:
    """A server and a machine, or all machines, do not reach each other for a while."""
    machines = WORKERS if machine == ALL else (machine,)
    return Row(
        f"{machine}-{server}",
        f"{'no worker' if machine == ALL else machine} reaches {SPOKEN[server]}".replace(
            f"{machine} reaches", f"{machine} does not reach"
        ),
        both_ways(machines, (server,)),
        victims=machines,
        at="images" if server == "s3" else "calls",
    )


SPOKEN = {
    "db": "PostgreSQL", "redis": "Redis", "s3": "the bucket", "provider": "the provider",
}  # fmt: skip
MACHINES = [name for name in HOSTS if name != CONTROL]
EVERY_WAY = both_ways(MACHINES, MACHINES)
ROWS = (
    Row("calm", "nothing", seconds=None, at="start"),
    *(_cut(server, "w1") for server in SPOKEN),
    *(_cut(server, ALL) for server in SPOKEN),
    Row("half-db", "PostgreSQL's packets do not reach w1", [("db", "w1")], victims=("w1",)),
    Row("half-redis", "w1's packets do not reach Redis", [("w1", "redis")], victims=("w1",)),
    Row(
        "w1-gone", "w1 reaches nothing, and never comes back",
        both_ways(["w1"], MACHINES),
        seconds=None, victims=("w1",),
    ),
    Row(
        "w1-no-provider", "w1 never reaches the provider again",
        both_ways(["w1"], ["provider"]), seconds=None, victims=("w1",), most_seconds=240.0,
    ),
    Row(
        "loss", "every link loses 5 % of its packets", EVERY_WAY,
        Link(loss=0.05), None, (), "start",
    ),
    Row(
        "latency", "200 ms of round trip to PostgreSQL, 65 pictures", both_ways(WORKERS, ["db"]),
        Link(delay=0.1), None, (), "start", most_seconds=240.0, size=0.25,
    ),
    Row(
        "clocks", "w1's clock is 90 s ahead, w2's 90 s behind", (), DOWN, None, (), "start",
        clocks={"w1": 90.0, "w2": -90.0},
    ),
    *(
        Row(
            f"commands-{server}", f"a person's commands on w1, without {SPOKEN[server]}",
            both_ways(["w1"], [server]), at="commands",
        )
        for server in ("db", "redis")
    ),
)  # fmt: skip
