"""The line before a server that answers so many calls at once."""

from __future__ import annotations

import asyncio

from overstory.sandbox.line import Line


def test_the_first_to_arrive_is_answered_first_and_a_higher_number_lets_several_in() -> None:
    most, answered, seen = [2], [], []

    async def call(line: Line, name: int, ends: asyncio.Event) -> None:
        async with line.turn():
            answered.append(name)
            await ends.wait()

    async def scene() -> None:
        line, ends = Line(lambda: most[0]), [asyncio.Event() for _ in range(6)]
        calls = [asyncio.create_task(call(line, n, end)) for n, end in enumerate(ends)]
        await asyncio.sleep(0)
        seen.append(list(answered))
        ends[1].set()
        await calls[1]
        await asyncio.sleep(0)
        seen.append(list(answered))
        most[0] = 4
        ends[0].set()
        await calls[0]
        await asyncio.sleep(0)
        seen.append(list(answered))
        for end in ends:
            end.set()
        await asyncio.gather(*calls)

    asyncio.run(scene())
    assert seen == [[0, 1], [0, 1, 2], [0, 1, 2, 3, 4, 5]]
