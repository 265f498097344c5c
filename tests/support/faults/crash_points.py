"""Inject faults into our processes, by environment variables; production code knows nothing of it.

``tests.support.faults.app`` and ``.reconcile`` install this before they start to work. The faults
are JSON in GAUNTLET_FAULTS, a list of ``Fault``. Each happens at most ``times`` times over all
processes: a folder of flag files counts them, because a process that dies is started again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import ServiceAway
from models.engine import Database

FAULTS, FLAGS, NUMBER = "GAUNTLET_FAULTS", "GAUNTLET_FLAGS", "GAUNTLET_NUMBER"
PID_DIGITS = 7


@dataclass(frozen=True)
class Fault:
    """A fault at ``point``, from the ``nth`` time on that a process reaches it.

    ``act``: kill (SIGKILL to itself), kill_soon (0.1 s later, from another thread), away (raise
    ServiceAway), full (raise ENOSPC). With ``while_file``, only while that file exists.
    """

    point: str
    act: str = "kill"
    nth: int = 1
    times: int = 1
    match: str = ""
    while_file: str = ""


@dataclass(frozen=True)
class Weather:
    """Permanent faults: a share of messages is lost and the rest sent ``copies`` times; clocks are
    alternately fast and slow; a share of commits succeeds but reports a failure."""

    drop: float = 0.0
    copies: int = 1
    skew_seconds: float = 0.0
    lost_commits: float = 0.0
    seed: int = 0


def environment(faults: Sequence[Fault], weather: Weather, flags: Path) -> dict[str, str]:
    """Environment variables that inject these faults into a child process."""
    flags.mkdir(exist_ok=True)
    config = {"faults": [asdict(fault) for fault in faults], "weather": asdict(weather)}
    return {FAULTS: json.dumps(config), FLAGS: str(flags)}


def happened(flags: Path) -> int:
    """How many faults have happened."""
    return sum(1 for _ in flags.iterdir())


def lost(flags: Path) -> int:
    """How many paid calls were not yet recorded when a process killed itself."""
    return sum(int(path.read_text() or 0) for path in flags.iterdir())


def held_by(pid: int) -> str:
    """The prefix of the lease tokens of process ``pid``."""
    return f"{pid:0{PID_DIGITS}x}"


def install() -> None:
    """Patch this process as its environment requests."""
    _name_leases()
    _note_calls()
    if FAULTS not in os.environ:
        return
    config = json.loads(os.environ[FAULTS])
    weather = Weather(**config["weather"])
    draw = random.Random(f"{weather.seed}/{os.environ.get(NUMBER)}").random
    _skew_clock(weather.skew_seconds * (-1) ** int(os.environ.get(NUMBER, "0")))
    _spoil_messages(weather, draw)
    _lose_commits(weather.lost_commits, draw)
    faults = [Fault(**fault) for fault in config["faults"]]
    for point, install_at in points().items():
        traps = [_Trap(fault) for fault in faults if fault.point == point]
        if traps:
            install_at(traps)


class _Trap:
    """One fault in one process; counts how often its point was reached."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._passed = 0
        self._flag = Path()
        self._lock = threading.Lock()

    def spring(self, what: str = "") -> None:
        """Called at the point; ``what`` names the object there, for ``Fault.match``."""
        fault = self._fault
        if fault.match not in what or (fault.while_file and not Path(fault.while_file).exists()):
            return
        with self._lock:
            self._passed += 1
            due = self._passed >= fault.nth
        if due and self._claim():
            self._act()

    def _claim(self) -> bool:
        """Take one of the fault's ``times`` over all processes. Returns False if none is left."""
        for turn in range(self._fault.times):
            name = f"{self._fault.point}.{self._fault.act}.{self._fault.match}.{turn}"
            path = Path(os.environ[FLAGS]) / name
            with contextlib.suppress(FileExistsError):
                path.touch(exist_ok=False)
                self._flag = path
                return True
        return False

    def _act(self) -> None:
        match self._fault.act:
            case "kill":
                self._die()
            case "kill_soon":
                threading.Timer(0.1, self._die).start()
            case "away":
                raise ServiceAway("the gauntlet made the service unavailable")
            case "full":
                raise OSError(errno.ENOSPC, "No space left on device")

    def _die(self) -> None:
        self._flag.write_text(str(len(_unsettled)), encoding="ascii")
        os.kill(os.getpid(), signal.SIGKILL)


_unsettled: set[int] = set()
"""Threads whose call was sent and is not yet in the ledger or the spool."""

Install = Callable[[list[_Trap]], None]


def points() -> dict[str, Install]:
    """Where faults can strike, and how a trap is put there."""
    from kombu.transport import redis as transport

    from clients import blobs, spool
    from models import ledger, provider_files, repair, state
    from tasks import preprocess
    from tasks.calls import admission, send
    from tasks.upkeep import reconciler
    from workers import services as wiring
    from workers.app import OverstoryCelery

    return {
        "popped": lambda traps: _after(transport.Channel, "_brpop_read", traps),
        "prepare": lambda traps: _before(
            preprocess, "prepared_image", traps, lambda _, image, *others: image.name
        ),
        "blob": lambda traps: _before(blobs.FolderBlobs, "_write", traps),
        "uploaded": lambda traps: _provider(wiring, "upload", traps, before=False),
        "stored": lambda traps: _after(provider_files, "stored_all", traps),
        "image_uploaded": lambda traps: _after(state, "images_uploaded", traps),
        "claimed": lambda traps: _after(
            admission, "take", traps, lambda result: isinstance(result, admission.Admission)
        ),
        "call": lambda traps: _provider(wiring, "chat", traps, before=True),
        "called": lambda traps: _provider(wiring, "chat", traps, before=False),
        "settle": lambda traps: _before(ledger, "settle", traps),
        "settled": lambda traps: _before(send, "answered", traps),
        "spool": lambda traps: _before(spool.Spool, "keep", traps),
        "spooled": lambda traps: _after(spool.Spool, "keep", traps),
        "done": lambda traps: _after(state, "node_done", traps),
        "parted": lambda traps: _after(state, "leaf_parted", traps),
        "committed": lambda traps: _before(send, "announce", traps),
        "publish": lambda traps: _before(
            OverstoryCelery, "send_task", traps, lambda _, name, *rest, **options: name
        ),
        "reclaimed": lambda traps: _after(repair, "reclaim_nodes", traps),
        "reclaim_committed": lambda traps: _before(reconciler, "announce", traps),
    }


def _nameless(*args: object, **kwargs: object) -> str:
    return ""


def _before(
    owner: Any, name: str, traps: list[_Trap], what: Callable[..., str] = _nameless
) -> None:
    original = getattr(owner, name)

    def trapped(*args: Any, **kwargs: Any) -> Any:
        for trap in traps:
            trap.spring(what(*args, **kwargs))
        return original(*args, **kwargs)

    setattr(owner, name, trapped)


def _after(
    owner: Any, name: str, traps: list[_Trap], when: Callable[[Any], bool] = lambda result: True
) -> None:
    original = getattr(owner, name)

    def trapped(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        for trap in traps if when(result) else ():
            trap.spring()
        return result

    setattr(owner, name, trapped)


def _provider(wiring: Any, name: str, traps: list[_Trap], before: bool) -> None:
    """The provider's client is built late, for its import is slow: trap it when it is."""
    build = wiring._provider

    def trapped(*args: Any) -> Any:
        provider = build(*args)
        (_before if before else _after)(provider, name, traps)
        return provider

    wiring._provider = trapped


def _name_leases() -> None:
    """Put the process id into lease tokens; ``judge`` counts a killed process's calls by it."""
    from models.claims import Lease
    from tasks.runtime.services import Services

    def new_lease(self: Services) -> Lease:
        return Lease(held_by(os.getpid()) + secrets.token_hex(8), self.settings.lease_seconds)

    Services.new_lease = new_lease  # type: ignore[method-assign]


def _note_calls() -> None:
    """Track the calls that would be paid again if this process died now."""
    from clients.spool import Spool
    from models import ledger
    from workers import services as wiring

    build, settle, keep = wiring._provider, ledger.settle, Spool.keep

    def noting(*args: Any) -> Any:
        provider = build(*args)
        original = provider.chat

        def chat(*args: Any, **kwargs: Any) -> Any:
            _unsettled.add(threading.get_ident())
            try:
                return original(*args, **kwargs)
            except BaseException:
                _unsettled.discard(threading.get_ident())
                raise

        provider.chat = chat
        return provider

    def written(original: Any) -> Any:
        def write(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            _unsettled.discard(threading.get_ident())
            return result

        return write

    wiring._provider = noting
    ledger.settle, Spool.keep = written(settle), written(keep)  # type: ignore[method-assign]


def _skew_clock(seconds: float) -> None:
    if seconds:
        original, original_ns = time.time, time.time_ns
        time.time = lambda: original() + seconds
        time.time_ns = lambda: original_ns() + round(seconds * 1e9)


def _spoil_messages(weather: Weather, draw: Callable[[], float]) -> None:
    """Lose a share of the published messages; publish the rest several times."""
    if weather.drop == 0.0 and weather.copies == 1:
        return
    from workers.app import OverstoryCelery

    original = OverstoryCelery.send_task

    def spoiled(self: Any, *args: Any, **kwargs: Any) -> Any:
        if draw() < weather.drop:
            return None
        sent = [original(self, *args, **kwargs) for _ in range(weather.copies)]
        return sent[0]

    OverstoryCelery.send_task = spoiled


def _lose_commits(share: float, draw: Callable[[], float]) -> None:
    """The database commits a transaction, but its answer never arrives."""
    if share == 0.0:
        return
    original = Database.write

    @contextlib.contextmanager
    def write(self: Database) -> Iterator[Any]:
        with original(self) as connection:
            yield connection
        if draw() < share:
            raise ServiceAway("the database's answer to COMMIT was lost")

    Database.write = write  # type: ignore[method-assign]
