"""What a process that runs for months keeps: little, whatever jobs it has had."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import update

from core.states import ImageStatus
from models.engine import Database
from models.reads import pipeline
from models.tables import Image, Node
from tests.support import jobs

KEPT = """
import json, sys
from threading import Barrier, Thread

from celery.worker import WorkController
from tests.integration.test_memory import arenas_of, own_memory
from workers.app import app

THREADS, BLOCKS, BLOCK = 8, 1_000, 16_000
WorkController(app=app, pool="threads", queues=sys.argv[1], concurrency=1)
started = Barrier(THREADS)

def use():
    started.wait()
    bytes(24_000_000)  # from now on, glibc would keep twice as much at the end of each arena
    blocks = [bytes(BLOCK) for _ in range(BLOCKS)]
    started.wait()  # all threads have theirs at the same time
    del blocks

before = own_memory()
threads = [Thread(target=use) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
kept = (own_memory() - before) / (THREADS * BLOCKS * BLOCK)
print(json.dumps({"arenas": arenas_of(sys.argv[2]), "kept": kept}))
"""
"""Threads of a worker that use 128 MB: how many arenas there are then, and the share that stays."""


def own_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def arenas_of(path: str) -> int:
    """How many arenas the C library has in this process."""
    library = ctypes.CDLL(None)
    library.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(library.fopen(path.encode(), b"w"))
    assert library.malloc_info(0, file) == 0
    library.fclose(file)
    return Path(path).read_text().count("<heap nr=")


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="the C library is not glibc"
)
def test_a_worker_gives_back_what_its_threads_have_used(tmp_path):
    argv = [sys.executable, "-c", KEPT, "infer,aggregate", str(tmp_path / "arenas.xml")]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    found = json.loads(said)
    assert found["arenas"] <= 2
    assert found["kept"] < 0.5


@contextmanager
def traced() -> Iterator[list[int]]:
    """The most bytes that the block had at once."""
    most: list[int] = []
    tracemalloc.start()
    try:
        yield most
        most.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def test_a_large_root_does_not_list_its_images(database: Database) -> None:
    """A process that asked about 800,000 images took 100 MB for their positions alone."""
    job = jobs.submit(database, (10_000, 10_000))
    with database.write() as connection:
        connection.execute(update(Image).values(status=ImageStatus.INCLUDED))
        failed = update(Image).where(Image.position.in_([5, 6, 15_000]))
        connection.execute(failed.values(status=ImageStatus.FAILED))
        nodes = jobs.rows(connection, Node, job)
        root = next(node.id for node in nodes if node.parent_id is None)
        pipeline.included_positions(connection, root)  # the statement is compiled
        with traced() as most:
            found = pipeline.included_positions(connection, root)
    assert found == set(range(1, 20_001)) - {5, 6, 15_000}
    assert most[0] < 200_000
