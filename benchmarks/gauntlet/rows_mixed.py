"""Rows about images that break decoders, and about everything at once."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from benchmarks.gauntlet.rows import row
from tests.support.faults import judge
from tests.support.faults.photos import make_photos
from tests.support.faults.scene import Plan, Scene
from tests.support.faults.servers import PostgresStore

BOMB_SIDE, HALF_GIGAPIXEL_SIDE = 60_000, 22_400


@row("26", "corrupt, empty, bomb and half-gigapixel images among good ones")
def bad_images(stage: Scene) -> None:
    good = stage.bench.scaled(120, 24)
    photos = make_photos(stage.folder / "photos", good)
    bad = {
        "empty.jpg": b"",
        "words.jpg": b"this is not an image",
        "corrupt.jpg": (photos / "00001.jpg").read_bytes()[:200],
        "bomb.png": _declared_png(BOMB_SIDE),
        "huge.png": _declared_png(HALF_GIGAPIXEL_SIDE),
    }
    for name, data in bad.items():
        (photos / name).write_bytes(data)
    job = stage.submit_folder(photos)
    stage.finish(90)
    stage.judge()
    database = stage.services.database
    failed = judge.count(database, "images", "status = 'failed'")
    coded = judge.count(
        database, "images", "status = 'failed' AND error_code <> 'poison' AND error IS NOT NULL"
    )
    included = judge.count(database, "images", "status = 'included'")
    stage.figures.expect(
        failed == coded == len(bad), f"{failed} failed, {coded} with an error code"
    )
    stage.figures.expect(included == good, f"{included} of {good} good images are included")
    stage.figures.expect(stage.fleet.deaths == 0, f"{stage.fleet.deaths} workers died")
    stage.figures.expect(stage.status(job) == "partial", "the job is not partial")


@row("28", "everything at once: kills, wipes, broker and PostgreSQL restarts", Plan(postgres=True))
def chaos(stage: Scene) -> None:
    assert isinstance(stage.store, PostgresStore)
    stage.submit(stage.bench.scaled(1200, 240))
    stage.until_calls(2)
    faults: list[Callable[[Scene], None]] = [_kill, _kill, _flush, _restart_broker, _restart_store]
    for _ in range(stage.bench.scaled(20, 5)):
        stage.random.choice(faults)(stage)
        if stage.pace(stage.random.uniform(0.5, 3.0)):
            break
    stage.finish(150)
    stage.judge(limit_factor=2)


def _kill(stage: Scene) -> None:
    stage.kill(stage.random.choice(stage.fleet.children))


def _flush(stage: Scene) -> None:
    stage.fault()
    stage.broker.flush()


def _restart_broker(stage: Scene) -> None:
    stage.broker.kill()
    stage.pace(stage.random.uniform(0.1, 2.0))
    stage.broker.start()
    stage.fault()


def _restart_store(stage: Scene) -> None:
    assert isinstance(stage.store, PostgresStore)
    stage.store.server.stop_now()
    stage.store.server.start_again()
    stage.fault()


def _declared_png(side: int) -> bytes:
    """A PNG of a few bytes whose header declares ``side`` x ``side`` pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1024))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
