"""The decoding process: what it may do, and what becomes of pictures that it cannot digest."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from clients import local_files
from clients.images import decoder, decoder_source
from clients.images.decoder import Decoder
from clients.images.prepare import page_count, prepare
from clients.images.prepared import Prepared
from core.errors import ImageRefused, RefusalCode, ServiceAway
from core.images.sizing import DecoderLimits, ImageLimits
from tests.support import bombs
from tests.support.corpus import Bad, Good
from tests.support.waiting import eventually

LIMITS = ImageLimits()
SHORT, LONG = DecoderLimits(seconds=2.0), DecoderLimits(seconds=60.0)
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux confines")


def decoded(path: Path, limits: DecoderLimits = SHORT, **options: object) -> Prepared:
    with local_files.opened(path, LIMITS.max_file_bytes) as (file, size):
        return Decoder(limits).prepare(file, size, detail="low", limits=LIMITS, **options)


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refusal(path: Path, limits: DecoderLimits = SHORT, **options: object) -> RefusalCode:
    with pytest.raises(ImageRefused) as caught:
        decoded(path, limits, **options)
    return caught.value.code


def test_it_decodes_what_this_process_would(corpus: tuple[Path, list[Good], list[Bad]]) -> None:
    folder, goods, _ = corpus
    for good in goods:
        path = folder / good.name
        here = prepare(path, detail="low", limits=LIMITS, page=good.page)
        assert decoded(path, LONG, page=good.page) == here, good.name
        with local_files.opened(path) as (file, size):
            assert Decoder(LONG).pages(file, size, LIMITS) == page_count(path, LIMITS)


def test_it_refuses_what_this_process_would(corpus: tuple[Path, list[Good], list[Bad]]) -> None:
    folder, _, bads = corpus
    for bad in bads:
        path = folder / bad.name
        with pytest.raises(ImageRefused) as here:
            prepare(path, detail="low", limits=LIMITS, page=bad.page)
        with pytest.raises(ImageRefused) as there:
            decoded(path, LONG, page=bad.page)
        assert (there.value.code, there.value.reason) == (here.value.code, here.value.reason)


def test_a_document_that_never_ends_is_refused_in_time(tmp_path: Path) -> None:
    began = time.monotonic()
    assert refusal(saved(tmp_path / "a.pdf", bombs.nested_forms())) == RefusalCode.TOO_SLOW
    assert time.monotonic() - began < 10 * SHORT.seconds  # a busy machine starts it slowly
    assert decoded(saved(tmp_path / "b.jpg", bombs.innocent())).width == 300


def test_a_picture_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    small = DecoderLimits(seconds=30.0, memory_bytes=500_000_000)
    path = saved(tmp_path / "wide.png", bombs.wide_png(14_000))
    assert refusal(path, small) in (RefusalCode.TOO_MANY_PIXELS, RefusalCode.CORRUPT)


def test_a_document_compressed_twice_ends(tmp_path: Path) -> None:
    path = saved(tmp_path / "twice.pdf", bombs.compressed_twice(300))
    assert path.stat().st_size < 100_000
    began = time.monotonic()
    with contextlib.suppress(ImageRefused):
        decoded(path, DecoderLimits(seconds=2.0, memory_bytes=600_000_000))
    assert time.monotonic() - began < 60.0


def test_a_picture_that_is_not_wanted_any_more_frees_its_worker(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pdf", bombs.nested_forms())
    began = time.monotonic()
    long = DecoderLimits(seconds=300.0)
    assert refusal(path, long, still_wanted=lambda: False) == RefusalCode.JOB_FAILED
    assert time.monotonic() - began < 60.0


def test_a_process_that_is_killed_costs_no_innocent_picture(tmp_path: Path) -> None:
    path = saved(tmp_path / "b.jpg", bombs.innocent())
    limits = DecoderLimits(seconds=61.0)
    Decoder(limits).in_force()
    (child,) = decoder._idle[limits]
    os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: not child.lives)
    assert decoded(path, limits).width == 300


@LINUX
def test_all_processes_are_forks_of_one_that_was_loaded_once(tmp_path: Path) -> None:
    path = saved(tmp_path / "b.jpg", bombs.innocent())
    source = decoder_source.begin()
    parent = source._process.pid
    for seconds in (64.0, 65.0):
        limits = DecoderLimits(seconds=seconds)
        assert decoded(path, limits).width == 300
        (child,) = decoder._idle[limits]
        assert psutil.Process(child.pid).ppid() == parent
    assert decoder_source.begin() is source


@LINUX
def test_a_source_that_was_killed_is_started_anew(tmp_path: Path) -> None:
    path = saved(tmp_path / "b.jpg", bombs.innocent())
    killed = decoder_source.begin()
    killed._process.kill()
    killed._process.wait()
    assert decoded(path, DecoderLimits(seconds=66.0)).width == 300
    assert decoder_source.begin() is not killed


def test_a_source_ends_when_nobody_holds_it() -> None:
    decoder_source.forget()
    source = decoder_source.begin()
    other = os.dup(source.socket.fileno())  # as a fork holds it
    decoder_source.forget()
    process = psutil.Process(source._process.pid)
    assert process.status() != psutil.STATUS_ZOMBIE
    os.close(other)
    eventually(lambda: process.status() == psutil.STATUS_ZOMBIE)
    os.waitpid(process.pid, 0)


def test_a_picture_is_not_refused_because_no_process_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "b.jpg", bombs.innocent())
    decoder_source.forget()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ServiceAway, match="no process to decode pictures was started"):
        decoded(path, DecoderLimits(seconds=67.0))
    assert Decoder(DecoderLimits(seconds=67.0)).thumbnail(path.read_bytes(), 64, 60) is None
    monkeypatch.undo()
    assert decoded(path, DecoderLimits(seconds=67.0)).width == 300


def test_a_picture_that_brings_two_processes_down_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "b.jpg", bombs.innocent())
    answered = decoder._Child.answer

    def killed(child, *asked):
        os.kill(child.pid, signal.SIGKILL)
        eventually(lambda: not child.lives)
        return answered(child, *asked)

    monkeypatch.setattr(decoder._Child, "answer", killed)
    assert refusal(path, DecoderLimits(seconds=62.0)) == RefusalCode.CORRUPT


def test_threads_decode_side_by_side(tmp_path: Path) -> None:
    slow, quick = tmp_path / "a.pdf", tmp_path / "b.jpg"
    slow.write_bytes(bombs.nested_forms())
    quick.write_bytes(bombs.innocent())
    limits = DecoderLimits(seconds=20.0)
    stop = threading.Event()
    hostile = threading.Thread(
        target=lambda: refusal(slow, limits, still_wanted=lambda: not stop.is_set())
    )
    hostile.start()
    try:
        assert decoded(quick, limits).width == 300
        assert hostile.is_alive()
    finally:
        stop.set()
        hostile.join()


@LINUX
def test_a_process_has_no_secret_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("OVERSTORY_API_KEY", "OVERSTORY_DATABASE_URL", "AWS_SECRET_ACCESS_KEY")
    for name in secrets:
        monkeypatch.setenv(name, "s3cret-value")
    limits = DecoderLimits(seconds=63.0)
    Decoder(limits).in_force()
    (child,) = decoder._idle[limits]
    try:
        environ = Path(f"/proc/{child.pid}/environ").read_bytes()
    except PermissionError:
        pytest.skip("only root may read the environment of a process that is not dumpable")
    assert b"s3cret-value" not in environ


CONFINED = """
import socket, sys
from clients.images.confinement import confine
print(confine(2_000_000_000))
def tried(what, do):
    try:
        do()
    except (OSError, MemoryError) as error:
        print(what, "refused")
    else:
        print(what, "allowed")
tried("write", lambda: open(sys.argv[1], "w"))
tried("read", lambda: open(sys.argv[2]).read())
tried("connect", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[3])), 2))
tried("memory", lambda: bytearray(3_000_000_000))
"""


@LINUX
def test_a_confined_process_can_neither_write_nor_read_nor_connect(tmp_path: Path) -> None:
    secret = saved(tmp_path / "key", b"secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        told = subprocess.run(
            [sys.executable, "-c", CONFINED, str(tmp_path / "new"), str(secret), port],
            capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        ).stdout.splitlines()  # fmt: skip
    in_force, *tries = told
    assert "memory refused" in tries
    if "files" in in_force:
        assert "write refused" in tries
        assert "read refused" in tries
    if "network" in in_force:
        assert "connect refused" in tries


def test_it_tells_how_a_photograph_looks_if_it_is_asked(
    corpus: tuple[Path, list[Good], list[Bad]],
) -> None:
    folder, goods, _ = corpus
    photographs = [good for good in goods if good.page is None and not good.name.endswith("pdf")]
    for good in photographs[:4]:
        path = folder / good.name
        here = prepare(path, detail="low", limits=LIMITS, compares=True)
        there = decoded(path, LONG, compares=True)
        assert there == here
        assert there.likeness is not None
        assert replace(there, likeness=None) == decoded(path, LONG), "its bytes are the same"
