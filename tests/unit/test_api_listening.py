"""The socket of the API sends each answer at once."""

from __future__ import annotations

import asyncio
import socket

from overstory.api.command import _listen


def test_an_answer_does_not_wait_for_the_clients_acknowledgement() -> None:
    async def without_delay() -> bool:
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            taken.set_result(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
            writer.close()

        listening = _listen("127.0.0.1", 0)
        async with await asyncio.start_server(connected, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            writer.close()
            return await taken

    assert asyncio.run(without_delay())
