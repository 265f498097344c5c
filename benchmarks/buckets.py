"""A bucket of 10,000 objects on a real S3 server: listing, and finding what has changed.

    python -m benchmarks.buckets --server PATH_TO_MOTO_SERVER [--objects 10000]

Prints time, requests and memory of a listing, of a job over all objects, of the same command again,
and of the command after 100 objects have changed and 50 have come. Exit status 1 if anything but
those was read or asked about.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import obstore
from obstore.store import S3Store
from PIL import Image

from tests.support.ports import free_port
from tests.support.waiting import eventually

CHANGED, ADDED = 100, 50
FOLDERS = 20
CHANGED_FOLDER = 3
AT_ONCE = 4
BUCKET = "bench"
INPUT = f"s3://{BUCKET}/photos/"
LISTING = f"""
import resource, time
from clients.images.decoder import Decoder
from clients.sources.expand import expand
from core.settings import load

settings = load()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun, begun_cpu = time.monotonic(), time.process_time()
found = expand(["{INPUT}"], settings.image_limits, Decoder(settings.decoder_limits))
took, ours = time.monotonic() - begun, time.process_time() - begun_cpu
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(f"{{len(found.sources):,}} objects in {{took:.2f}} s, {{ours:.2f}} s of our CPU")
print(f"{{grown / 1e3:.0f}} MB of memory more")
"""
_REQUEST = re.compile(rb'"(GET|HEAD|PUT) (\S+) HTTP')


@dataclass
class Server:
    """moto's S3 server as a process. It writes each request to its log."""

    log: Path
    port: int

    @classmethod
    @contextlib.contextmanager
    def started(cls, command: str, folder: Path) -> Iterator[Server]:
        server = cls(folder / "server.log", free_port())
        with server.log.open("wb") as log:
            process = subprocess.Popen(
                [command, "-H", "127.0.0.1", "-p", str(server.port)],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            eventually(server._answers, 60.0)
            yield server
        finally:
            process.terminate()
            process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.put(f"{self.url}/{BUCKET}").status_code == 200
        return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def requests(self) -> Counter[str]:
        """So far, by kind: list, read, and others by method."""
        kinds: Counter[str] = Counter()
        for method, path in _REQUEST.findall(self.log.read_bytes()):
            kind = "list" if b"list-type" in path else "read" if method == b"GET" else method
            kinds[kind if isinstance(kind, str) else kind.decode()] += 1
        return kinds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--objects", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-bucket-") as folder:
        home = Path(folder)
        with Server.started(arguments.server, home) as server:
            return _measured(server, home, arguments.objects)


def _measured(server: Server, home: Path, objects: int) -> int:
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "OVERSTORY_HOME": str(home / "home"),
        "OVERSTORY_CONCURRENCY": "100",
        "OVERSTORY_RPM": "10000",
        "OVERSTORY_TPM": "100000000",
    }
    os.environ.update(environment)
    store = S3Store(BUCKET, client_options={"allow_http": True})
    _put(store, range(objects), 1)
    with _counted(server, "listing"):
        told = subprocess.check_output([sys.executable, "-c", LISTING], env=environment, text=True)
        print(told.strip())
    with _counted(server, "the job") as first:
        _run(environment)
    with _counted(server, "the same command again") as again:
        before = _run(environment)
    _put(store, range(CHANGED_FOLDER, objects, FOLDERS)[:CHANGED], 2)
    _put(store, range(objects, objects + FOLDERS * ADDED, FOLDERS), 1)  # all in one folder
    with _counted(server, f"{CHANGED} changed and {ADDED} added") as changed:
        after = _run(environment)
    print(f"asked then: {after['usage']['requests']} requests of {after['tree']['nodes']} nodes")
    right = (
        first["read"] == objects
        and again["read"] == 0
        and changed["read"] == CHANGED + ADDED
        and before["coverage"]["included"] == objects
        and after["usage"]["requests"] < after["tree"]["nodes"] / 4
        and after["coverage"]["included"] == objects + ADDED
    )
    print("right" if right else "WRONG")
    return 0 if right else 1


@contextlib.contextmanager
def _counted(server: Server, what: str) -> Iterator[Counter[str]]:
    """The requests of the block, which are in the counter when it ends."""
    counted: Counter[str] = Counter()
    before, begun = server.requests(), time.monotonic()
    yield counted
    took = time.monotonic() - begun
    counted.update(server.requests() - before)
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counted.items()))
    print(f"{what}: {took:.1f} s; requests to the bucket: {told or 'none'}", flush=True)


def _run(environment: Mapping[str, str]) -> Any:
    command = [sys.executable, "-m", "overstory", "run", INPUT, "--ask", "What is there?"]
    options = ["--sandbox", "--json", "--quiet", "--yes"]
    done = subprocess.run(
        [*command, *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return json.loads(done.stdout)


def _put(store: S3Store, numbers: Sequence[int], version: int) -> None:
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda number: _put_one(store, number, version), numbers):
            pass
    print(f"put {len(numbers):,} objects in {time.monotonic() - begun:.1f} s", flush=True)


def _put_one(store: S3Store, number: int, version: int) -> None:
    file = io.BytesIO()
    picture = Image.new("RGB", (64, 48), (number % 251, number // 251, version))
    picture.save(file, "PNG")  # lossless, so that no two have the same pixels
    key = f"photos/{number % FOLDERS:02}/picture{number}.png"
    obstore.put(store, key, file.getvalue(), use_multipart=False)


if __name__ == "__main__":
    sys.exit(main())
