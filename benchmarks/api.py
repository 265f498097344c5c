"""The HTTP API under load: submissions, watchers, and a chat request with a thousand images.

    python -m benchmarks.api [--images 6000] [--watchers 200] [--rounds 2] [--rate 500]

*Submissions*: every one is taken (201) or told to come again (429), and every taken one is a job
that ends. *Watchers*: the same job with and without connections that read all its events, in turn.
*Chat*: 1,000 images of 143 KB inside one request of 191 MB, and the memory of the API meanwhile.
Exit status 1 if a submission was lost, a watcher did not get every event, or an image was not seen.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import openai
import psutil
from PIL import Image

from core.settings import DEFAULT_MODEL
from overstory.local.stack import served_by
from tests.support.pictures import draw_image
from tests.support.ports import free_port

COMMAND = [sys.executable, "-m", "overstory"]
CONNECTIONS = 400
END_SECONDS = 600.0
CHAT_IMAGES, CHAT_BYTES = 1_000, 143_000


@dataclass(frozen=True)
class Api:
    """The API of a service on this machine."""

    port: int

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return await send(reader, writer, method, path, body, **headers)
        finally:
            writer.close()

    async def ended(self, job: str) -> dict[str, Any]:
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            shown = (await self.ask("GET", f"/api/jobs/{job}")).value
            if shown["status"] not in ("running", "paused"):
                return dict(shown)
            await asyncio.sleep(0.5)
        raise TimeoutError(f"job {job} has not ended within {END_SECONDS:g} s")


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


async def send(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    method: str,
    path: str,
    body: Any = None,
    **headers: str,
) -> Reply:
    """One request on an open connection: a client that costs little beside the service."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(data)}"]
    lines += ["Content-Type: application/json"] if data else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + data)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return Reply(int(head.split(" ", 2)[1]), await reader.readexactly(length))


async def submit_at(api: Api, image: Path, rate: int, seconds: float) -> bool:
    """Send ``rate`` submissions a second. Whether none was lost."""
    total = int(rate * seconds)
    numbers = iter(range(total))
    begin = time.monotonic()
    statuses: Counter[int] = Counter()
    jobs: list[str] = []
    waits: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        for number in numbers:
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            spec = {"images": [str(image)], "ask": f"What is picture {number}?"}
            sent = time.monotonic()
            key = f"load-{number}"
            reply = await send(reader, writer, "POST", "/api/jobs", spec, Idempotency_Key=key)
            waits.append(time.monotonic() - sent)
            statuses[reply.status] += 1
            if reply.status == 201:
                jobs.append(reply.value["job"])
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    took = time.monotonic() - begin
    print(
        f"submissions: {total:,} sent in {took:.1f} s ({total / took:.0f}/s):"
        f" {statuses[201]:,} taken, {statuses[429]:,} told to come again,"
        f" {total - statuses[201] - statuses[429]:,} other; answered in"
        f" {median(waits) * 1e3:.0f} ms (median), {max(waits) * 1e3:.0f} ms at most",
        flush=True,
    )
    begin = time.monotonic()
    ends = Counter([(await api.ended(job))["status"] for job in jobs])
    print(f"  of those taken: {dict(ends)}, {time.monotonic() - begin:.0f} s later", flush=True)
    return sum(statuses.values()) == statuses[201] + statuses[429] and ends == {
        "completed": len(jobs)
    }


async def watched_job(api: Api, folder: Path, watchers: int) -> tuple[float, bool]:
    """Seconds that a job takes, and whether each watcher got every event."""
    spec = {"images": [str(folder)], "ask": "What is there?", "fresh": True}
    job = (await api.ask("POST", "/api/jobs", spec)).value["job"]
    tasks = [asyncio.create_task(watch(api, job)) for _ in range(watchers)]
    shown = await api.ended(job)
    counts = [await task for task in tasks]
    return shown["seconds"], len(set(counts)) <= 1


async def watch(api: Api, job: str) -> int:
    """The number of events of a job."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(f"GET /api/jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    events, last = 0, b""
    while piece := await reader.read(65_536):
        text = last + piece
        events += text.count(b"\nevent: ") - last.count(b"\nevent: ")
        last = text[-200:]
        if b"\nevent: end\n" in last or last.startswith(b"event: end\n"):
            break
    writer.close()
    return events


def chat(api: Api, process: psutil.Process) -> bool:
    """Ask about the images of one request by the SDK. Whether all were seen."""
    noise = random.Random(1).randbytes(CHAT_BYTES)
    image = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(image, "JPEG")
    parts: list[Any] = [{"type": "text", "text": "What is there?"}]
    for number in range(CHAT_IMAGES):  # bytes after the end of a picture belong to no picture
        data = image.getvalue() + number.to_bytes(4, "big") + noise
        url = "data:image/jpeg;base64," + base64.b64encode(data).decode()
        parts.append({"type": "image_url", "image_url": {"url": url}})
    rest, most, stop = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{api.port}/v1", api_key="none")
    began = time.monotonic()
    message: Any = {"role": "user", "content": parts}
    reply = client.chat.completions.create(model=DEFAULT_MODEL, messages=[message])
    took = time.monotonic() - began
    stop.set()
    watcher.join()
    included = (reply.model_extra or {})["overstory"]["coverage"]["included"]
    print(
        f"chat: {included:,} of {CHAT_IMAGES:,} images of one request seen, answered in"
        f" {took:.1f} s; the API had {rest / 1e6:.0f} MB before and {most[0] / 1e6:.0f} MB at most",
        flush=True,
    )
    return bool(included == CHAT_IMAGES)


def api_process(home: Path) -> psutil.Process:
    pid = served_by(home)
    assert pid is not None
    return next(p for p in psutil.Process(pid).children() if "serve" in p.cmdline())


async def measure(args: argparse.Namespace, api: Api, pictures: Path) -> bool:
    first = next(iter(sorted(pictures.iterdir())))
    ok = await submit_at(api, first, args.rate, args.seconds)
    alone, watched = [], []
    for _ in range(args.rounds):
        alone.append((await watched_job(api, pictures, 0))[0])
        seconds, complete = await watched_job(api, pictures, args.watchers)
        watched.append(seconds)
        ok &= complete
        print(
            f"watchers: {alone[-1]:.1f} s alone, {seconds:.1f} s with {args.watchers}", flush=True
        )
    share = sum(watched) / sum(alone) - 1
    print(f"watchers: a job of {args.images:,} images is {share:+.1%} slower", flush=True)
    return ok


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, value in (("images", 6_000), ("watchers", 200), ("rounds", 2), ("rate", 500)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overstory-api-") as name:
        pictures = Path(name) / "pictures"
        for number in range(args.images):
            draw_image(pictures / f"{number:05}.png", number)
        home, api = Path(name) / "home", Api(free_port())
        environment = os.environ | {"OVERSTORY_HOME": str(home), "OVERSTORY_TIER": "V4"}
        environment |= {"OVERSTORY_INPUT_ROOTS": str(pictures), "OVERSTORY_SANDBOX": "true"}
        up = ["up", "--detach", "--no-flower", "--api-port", str(api.port)]
        subprocess.run([*COMMAND, *up], env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            ok = chat(api, api_process(home))
            ok &= asyncio.run(measure(args, api, pictures))
        finally:
            subprocess.run([*COMMAND, "down", "--now"], env=environment, check=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
