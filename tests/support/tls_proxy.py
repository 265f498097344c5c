"""A TLS endpoint in front of a server without TLS, because the packaged Valkey has none."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILES = Path(__file__).with_name("tls")
AUTHORITY = FILES / "ca.pem"
BLOCK = 65_536


@contextmanager
def encrypted(port: int) -> Iterator[int]:
    """The port of 127.0.0.1 that speaks TLS and passes everything on to ``port``."""
    loop = asyncio.new_event_loop()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FILES / "server.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_pump(reader, before), _pump(behind, writer))
        finally:
            before.transport.abort()
            writer.transport.abort()

    starting = asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    server = loop.run_until_complete(starting)
    thread = threading.Thread(target=loop.run_forever, name="tls")
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_cancel(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for _ in range(3):  # what was aborted is closed in the next rounds
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.CancelledError):
        while block := await reader.read(BLOCK):
            writer.write(block)
            await writer.drain()
    writer.close()


async def _cancel() -> None:
    """End all connections."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
