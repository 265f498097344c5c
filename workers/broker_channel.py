"""The channel on which our workers take messages: what is no message is put aside.

kombu 5.7.0 takes an item of a queue that is not JSON, or not in the form of a message, for an error
of its own: the worker ends, and the item is lost.
"""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import Any

import structlog
from kombu.transport import redis as transport

from clients import dead_letters
from clients.redis import REDIS_ERRORS, PoppingClient

log = structlog.get_logger()

MALFORMED = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What a message in the wrong form leads to. Errors of a stopping pool are others."""
NO_MESSAGE = "it is not JSON in the form of a message"


def put_aside(channel: Any, queue: str, task: str | None, reason: str, message: str) -> None:
    """Keep a message that no worker can use among the dead letters, and say so in the log."""
    kept = False
    with contextlib.suppress(*REDIS_ERRORS, OSError), channel.conn_or_acquire() as client:
        dead_letters.keep(client.pipeline(), queue, task, reason, message)
        kept = True
    log.warning("message.dead_letter", queue=queue, task=task, reason=reason, kept=kept)


class KeepsMalformed:
    """Part of a channel: its pops pass over what is no message."""

    def _get_client(self) -> Any:
        super()._get_client()  # type: ignore[misc]  # it checks the version of redis
        return partial(PoppingClient, self._is_kept)

    def _is_kept(self, key: str, item: bytes) -> bool:
        channel: Any = self
        queue = key.rsplit(channel.sep, 1)[0]
        try:
            payload = json.loads(item)
            message = channel.Message(payload, channel=channel)
            sent_by = message.delivery_info["exchange"], message.delivery_info["routing_key"]
            hash((message.delivery_tag, *sent_by))
        except MALFORMED:
            put_aside(channel, queue, None, NO_MESSAGE, item.decode("utf-8", "backslashreplace"))
            return True
        return False


class Channel(KeepsMalformed, transport.Channel):
    """kombu's channel to one server."""


class SentinelChannel(KeepsMalformed, transport.SentinelChannel):
    """kombu's channel to the primary that sentinels name."""


def install() -> None:
    """Let every connection of this process use our channels. For workers only."""
    transport.Transport.Channel = Channel
    transport.SentinelTransport.Channel = SentinelChannel
