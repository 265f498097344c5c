"""Calls on the ledger of paid calls, as tests write and read them."""

from __future__ import annotations

from core.reply import Reply, Usage
from models import ledger
from models.ledger import NewCall
from models.tables import Call
from tests.support import jobs

KEY = "k" * 64


def reply(text="an answer", prompt=100, cached=10, completion=5):
    return Reply(text, "thoughts", "stop", Usage(prompt, cached, completion), "trace", "m")


def open_call(database, job, key=KEY, seconds=jobs.LONG):
    node = jobs.root_of(database, job)
    call = NewCall(key, job, node, jobs.ACCOUNT, "m", 1, 200, "USD")
    with database.write() as connection:
        return ledger.open_call(connection, call, jobs.lease(seconds))


def settle(database, call, answer=None):
    with database.write() as connection:
        ledger.settle(connection, call, answer or reply(), 0.5)


def answered(database, key=KEY, only_job=None):
    with database.read() as connection:
        return ledger.answered(connection, key, only_job)


def calls(database, job):
    return [(row.status, row.reply) for row in jobs.look(database, Call, job)]
