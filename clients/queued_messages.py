"""The messages in the lists of a broker, beside what kombu does with them.

kombu keeps a queue as up to four lists, one for each priority, and names every queue that an app
has declared in the sets ``_kombu.binding.<exchange>``. An app may share the database with others.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from clients.redis import RedisServer
from core.stages import PLAIN_QUEUE, STAGES, SUBMIT

SEPARATOR = "\x06\x16"
PRIORITIES = ("", *(f"{SEPARATOR}{step}" for step in (3, 6, 9)))
MOVED_MAX = 1_000
"""Messages that one look examines, the newest of a list."""
LOOKED_AT = 200

MOVE = """
-- Moves the messages of task ARGV[1] from list KEYS[1] to list KEYS[2]; returns how many.
-- It pushes before it removes: a full server refuses the push, and the message stays.
local moved = 0
local items = redis.call('LRANGE', KEYS[1], 0, ARGV[2] - 1)
for n = #items, 1, -1 do
    local item = items[n]
    if string.find(item, ARGV[1], 1, true) then
        local ok, message = pcall(cjson.decode, item)
        local headers = ok and type(message) == 'table' and message.headers
        if type(headers) == 'table' and headers.task == ARGV[1] then
            redis.call('LPUSH', KEYS[2], item)
            redis.call('LREM', KEYS[1], 1, item)
            moved = moved + 1
        end
    end
end
return moved
"""
BINDINGS = """
-- The members of up to ARGV[1] sets of bindings.
local members = {}
local cursor, sets = '0', 0
repeat
    local page = redis.call('SCAN', cursor, 'MATCH', '_kombu.binding.*', 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do
        if redis.call('TYPE', key).ok == 'set' then
            sets = sets + 1
            for _, member in ipairs(redis.call('SMEMBERS', key)) do
                members[#members + 1] = member
            end
        end
    end
until cursor == '0' or sets > tonumber(ARGV[1])
return members
"""
OUR_QUEUES = frozenset(stage.name for stage in STAGES)


def collect_submissions(server: RedisServer) -> int:
    """Move the submissions that apps without routes sent to Celery's own queue into ours; returns
    their number. Nothing else there is touched: it may be another app's. Raises ServiceAway.
    """
    move = server.script(MOVE)
    return sum(
        move([PLAIN_QUEUE + end, SUBMIT.name + end], [SUBMIT.task, MOVED_MAX]) for end in PRIORITIES
    )


def tasks_in(server: RedisServer, queue: str) -> Counter[str]:
    """How many messages of which task are among the newest LOOKED_AT of ``queue``. ``?``: no task
    message. Raises ServiceAway."""
    look = server.script("return redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)")
    items = [item for end in PRIORITIES for item in look([queue + end], [LOOKED_AT])]
    return Counter(_task(item) for item in items)


def other_queues(server: RedisServer) -> Sequence[str]:
    """Queues that other apps have declared in this database, sorted. Raises ServiceAway."""
    members = server.script(BINDINGS)([], [LOOKED_AT])
    queues = {member.rsplit(SEPARATOR, 1)[-1] for member in members}
    return sorted(
        queue
        for queue in queues - OUR_QUEUES
        if queue and not queue.endswith(".pidbox") and not queue.startswith("overstory.events")
    )


def _task(item: str) -> str:
    try:
        task = json.loads(item)["headers"]["task"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "?"
    return task if isinstance(task, str) else "?"
