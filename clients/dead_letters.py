"""Messages that no worker of ours can use, kept in a list of the broker until a person looks.

A letter is JSON: ``at`` (ISO 8601, UTC), ``queue``, ``task`` (what its headers name, or null),
``reason``, ``bytes`` (length of the message) and ``message``, the message as it stood in the queue.
To put one back, push its ``message`` to the left of a queue.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Protocol

from clients.redis import RedisServer

KEY = "overstory:dead-letters"
LETTERS_MAX = 1_000
"""The newest are kept."""
MESSAGE_BYTES_MAX = 65_536
"""Of a longer message only the beginning is kept. So all letters take 70 MB at most."""

_READ = """
local newest = redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)
return {redis.call('LLEN', KEYS[1]), unpack(newest)}
"""


class Pipeline(Protocol):
    """What this module needs of a pipeline of redis."""

    def lpush(self, key: str, text: str) -> object: ...

    def ltrim(self, key: str, start: int, end: int) -> object: ...

    def execute(self) -> object: ...


def keep(pipeline: Pipeline, queue: str, task: str | None, reason: str, message: str) -> None:
    """Add a letter. Raises what redis raises."""
    letter = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "queue": queue,
        "task": task,
        "reason": reason,
        "bytes": len(message.encode("utf-8", "replace")),
        "message": message[:MESSAGE_BYTES_MAX],
    }
    pipeline.lpush(KEY, json.dumps(letter))
    pipeline.ltrim(KEY, 0, LETTERS_MAX - 1)
    pipeline.execute()


def newest(server: RedisServer, most: int) -> tuple[int, list[dict[str, Any]]]:
    """How many letters there are, and the newest ones. Raises ServiceAway."""
    count, *texts = server.script(_READ)([KEY], [most])
    return int(count), [json.loads(text) for text in texts]
