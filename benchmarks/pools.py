"""Concurrent calls in one process with threads, gevent and asyncio: CPU per call, added latency.

    python -m benchmarks.pools [--calls-each 3] [--in-flight 5 40 200 1000]

Each measurement runs in its own process, which keeps that many calls in flight. A call lasts one
second and carries 60 file ids; the server, in another process, only waits. Needs the bench group.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SECONDS = 1.0
IMAGES = 60
WAYS = ("threads", "gevent", "asyncio")
REPLY = json.dumps(
    {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop",
             "message": {"role": "assistant", "content": "[1] is green. " * 60}}
        ],
        "usage": {"prompt_tokens": 10_000, "completion_tokens": 900, "total_tokens": 10_900},
    }
).encode()  # fmt: skip


# ---- the server


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Minimal keep-alive HTTP, enough for the clients here."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    try:
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            lines = request.decode().lower().splitlines()
            length = next(int(x[15:]) for x in lines if x.startswith("content-length:"))
            await reader.readexactly(length)
            await asyncio.sleep(SECONDS)
            writer.write(head % len(REPLY) + REPLY)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# ---- the clients: each makes calls and returns their durations in seconds


def body() -> dict[str, Any]:
    from core.catalog.facts import facts_of
    from core.requests.request import RequestContext, images_body
    from core.tree.capacity import capacity_of

    ask = RequestContext(
        "What is there?", "step-3.7-flash", "e", "low", capacity_of(facts_of("m"), "stepfun", "?")
    )
    return images_body(ask, [f"stepfile://file-{n:010}" for n in range(IMAGES)], False)


def blocking(url: str, in_flight: int) -> Callable[[int], float]:
    from clients.provider.client import Provider
    from core.settings import load

    provider = Provider(load(api_key="k" * 12, base_url=url), max_connections=in_flight)
    request = body()

    def call(number: int) -> float:
        start = time.perf_counter()
        provider.chat(request)
        return time.perf_counter() - start

    return call


def threads(url: str, in_flight: int, calls: int) -> list[float]:
    call = blocking(url, in_flight)
    with ThreadPoolExecutor(in_flight) as pool:
        return list(pool.map(call, range(calls)))


def gevents(url: str, in_flight: int, calls: int) -> list[float]:
    from gevent.pool import Pool

    return list(Pool(in_flight).map(blocking(url, in_flight), range(calls)))


def asyncios(url: str, in_flight: int, calls: int) -> list[float]:
    import httpx2
    import openai

    from clients.provider.replies import read_reply

    async def run() -> list[float]:
        limits = httpx2.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        http = httpx2.AsyncClient(limits=limits, timeout=60.0)
        api = openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0, http_client=http)
        slots, request = asyncio.Semaphore(in_flight), body()

        async def call() -> float:
            async with slots:
                start = time.perf_counter()
                content = json.dumps(request, ensure_ascii=False).encode()
                reply = await api.post(
                    "/chat/completions", cast_to=httpx2.Response, content=content,
                    options={"headers": {"Content-Type": "application/json"}},
                )  # fmt: skip
                read_reply(json.loads(reply.content), None)
                return time.perf_counter() - start

        return await asyncio.gather(*(call() for _ in range(calls)))

    return asyncio.run(run())


def measure(way: str, url: str, in_flight: int, rounds: int) -> None:
    """In the child: a few calls to warm up, then ``rounds`` measured rounds; prints JSON."""
    if way == "gevent":
        from gevent import monkey

        monkey.patch_all()
    run = {"threads": threads, "gevent": gevents, "asyncio": asyncios}[way]
    run(url, min(in_flight, 5), 5)  # load what is imported on first use
    before = resource.getrusage(resource.RUSAGE_SELF)
    times = run(url, in_flight, in_flight * rounds)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = {
        "cpu_ms": 1e3 * spent / len(times),
        "late_ms": 1e3 * (statistics.median(times) - SECONDS),
        "late_max_ms": 1e3 * (max(times) - SECONDS),
        "rss_mb": after.ru_maxrss / 1024,
    }
    print(json.dumps(figures))


# ---- the command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in-flight", type=int, nargs="*", default=[5, 40, 200, 1000])
    parser.add_argument("--calls-each", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve())
    elif args.way:
        measure(args.way, args.url, args.in_flight[0], args.calls_each)
    else:
        table(args.in_flight, args.calls_each)


def table(sizes: list[int], rounds: int) -> None:
    command = [sys.executable, "-m", "benchmarks.pools"]
    server = subprocess.Popen([*command, "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    try:
        print("in flight  way      CPU / call  delay (median)  delay (max)   memory   load")
        for size in sizes:
            for way in WAYS:
                cell = [*command, "--way", way, "--url", url, "--calls-each", str(rounds)]
                cell += ["--in-flight", str(size)]
                out = subprocess.run(cell, capture_output=True, text=True, check=True).stdout
                figures = json.loads(out.splitlines()[-1])
                print(
                    f"{size:9}  {way:8} {figures['cpu_ms']:7.2f} ms  {figures['late_ms']:10.0f} ms"
                    f"  {figures['late_max_ms']:9.0f} ms  {figures['rss_mb']:5.0f} MB"
                    f"  {os.getloadavg()[0]:5.1f}",
                    flush=True,
                )
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
