"""A complete job in one process; only pictures, endpoint and limiter are fakes.

Pictures are files of a few bytes, every note is the same line, and the account has no limits. What
remains is our own work (planning, claims, records, fan-in, ledger), measurable at any size.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import event

import migrations
from clients.images.decoder import Decoder
from clients.limiter.limiter import Admitted
from clients.spool import Spool
from clients.uploads import open_uploads
from core.catalog.tokens import LOW_TOKENS
from core.jobs import JobSpec
from core.outcomes import Done, Outcome
from core.reply import Reply, Usage
from core.requests.request import Inline, image_urls, prompt_tokens
from core.settings import load
from models.claims import ImageWork
from models.engine import Database
from models.state import PreparedImage
from tasks import aggregate, image_slices, infer, preprocess, submit, upload
from tasks.calls.run import run
from tasks.runtime.leases import LeaseKeeper
from tasks.runtime.services import Services

KEY = "bench-key-0123456789"
ALL = "All of it is green [1]."
BYTES = 60_000  # of each prepared picture
IDLE = {"nothing was due", "uploads are paused"}


class Open:
    """An account without limits."""

    def acquire(self, lease: str, tokens: int, ttl_seconds: float, waited: object) -> Admitted:
        return Admitted(lease)

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


class Endpoint:
    """Stores nothing; answers with a line for each image, and with the same sentence."""

    def __init__(self) -> None:
        self.uploads = 0

    def upload(self, name: str, data: bytes, mime: str) -> str:
        self.uploads += 1
        return f"file-{self.uploads}"

    def chat(self, body: dict[str, Any], inline: Mapping[str, Inline]) -> Reply:
        images = len(image_urls(body))
        lines = [f"[{number}] Picture {number} is green." for number in range(1, images + 1)]
        text = "\n".join([*lines, "===", ALL] if images else [ALL])
        usage = Usage(prompt_tokens(body, images * LOW_TOKENS), 0, 20)
        return Reply(text, "", "stop", usage, None, "m")

    def close(self) -> None:
        return None


class Shelf:
    """A blob store that returns the same blob for every key."""

    def put(self, sha256: str, data: bytes) -> None:
        return None

    def get(self, sha256: str) -> bytes | None:
        return b"picture"

    def size(self, sha256: str) -> int | None:
        return BYTES

    def drop(self, sha256: str, fresh_seconds: float) -> int | None:
        return None

    def check(self) -> None:
        return None


@dataclass
class Whole:
    """Services over one home, with counts of their SQL statements and messages per stage."""

    services: Services
    statements: Counter[str] = field(default_factory=Counter)  # by stage
    sent: Counter[str] = field(default_factory=Counter)  # messages by stage
    stage: str = "submit"

    def submit(self, folder: Path) -> str:
        self.stage = "submit"
        return submit.submit(self.services, JobSpec(images=[str(folder)], ask="What?")).job_id

    def step(self) -> bool:
        """Run one slice or call of each stage. Returns False when no work is left."""
        busy = False
        for name, work in STAGES.items():
            self.stage = name
            busy |= work(self.services) not in IDLE
        return busy

    def close(self) -> None:
        self.services.close()


def _prepared(services: Services, images: Sequence[ImageWork]) -> list[Outcome[PreparedImage]]:
    return [Done(_fake(image)) for image in images]


def _fake(image: ImageWork) -> PreparedImage:
    sha256 = hashlib.sha256(f"{image.job_id}/{image.position}".encode()).hexdigest()
    return PreparedImage(sha256, sha256, "image/jpeg", 728, 546, BYTES, 171, None)


PREPROCESS = replace(preprocess.STAGE, work=_prepared)
STAGES: dict[str, Any] = {
    "preprocess": lambda services: image_slices.run_slice(services, PREPROCESS),
    "upload": upload.run,
    "infer": lambda services: run(services, infer.STAGE),
    "aggregate": lambda services: run(services, aggregate.STAGE),
}


@contextmanager
def whole(home: Path, url: str | None = None, **settings: Any) -> Iterator[Whole]:
    """Services over a migrated database at ``url`` (default: a new SQLite file in ``home``)."""
    home.mkdir(parents=True, exist_ok=True)
    chosen = load(home=home, api_key=KEY, files_max=10**9, **settings)
    database = Database(url or f"sqlite:///{home / 'overstory.db'}")
    migrations.upgrade(database.url)
    endpoint, limiter = Endpoint(), Open()
    job = Whole(
        Services(
            settings=chosen,
            database=database,
            blobs=Shelf(),
            uploads=open_uploads(None, home),
            decoder=Decoder(chosen.decoder_limits),
            make_provider=lambda: endpoint,  # type: ignore[arg-type,return-value]
            limiter=limiter,  # type: ignore[arg-type]
            spool=Spool(home / "spool"),
            leases=LeaseKeeper(database, limiter, 600.0, 600.0),  # type: ignore[arg-type]
            account="account",
            send=lambda stage, **shown: job.sent.update([stage]),
            queued=lambda stage: 0,
        )
    )

    @event.listens_for(database.engine, "before_cursor_execute")
    def _count(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        job.statements[job.stage] += 1

    try:
        yield job
    finally:
        job.close()


def make_files(folder: Path, count: int) -> Path:
    """``count`` files that start like a JPEG but cannot be decoded."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        (folder / f"{number:06d}.jpg").write_bytes(b"\xff\xd8\xff" + str(number).encode())
    return folder
