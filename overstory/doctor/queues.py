"""Checks of what lies in the broker: messages and workers of other apps, and dead letters."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery

from clients import dead_letters, queued_messages
from clients.redis import RedisServer
from core.stages import PLAIN_QUEUE, STAGES, SUBMIT
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, ok, warning
from overstory.doctor.parts import is_up
from overstory.output.plural import pluralize
from workers.endpoints import broker_address, celery_connection

PING_SECONDS = 1.0
SHOWN = 3
OWN_DATABASE = (
    "give Overstory a database of its own: end OVERSTORY_BROKER_URL with another number, or use a"
    " server of its own (docs/service.md, A broker of your own)"
)
OURS = frozenset(stage.task for stage in STAGES)


def neighbours(context: Context) -> Finding | None:
    """No other Celery app uses the broker's database."""
    if not is_up(context):
        return None
    server = RedisServer(broker_address(context.settings).url())
    try:
        names = (*(stage.name for stage in STAGES), PLAIN_QUEUE)
        tasks = {name: queued_messages.tasks_in(server, name) for name in names}
        queues = queued_messages.other_queues(server)
    finally:
        server.close()
    return neighbours_finding(tasks, _foreign_workers(context), queues)


def neighbours_finding(
    tasks: Mapping[str, Counter[str]], workers: Mapping[str, Sequence[str]], queues: Sequence[str]
) -> Finding:
    """Finding for what was found: ``tasks`` by queue, queues by the name of a foreign worker, and
    the queues of other apps."""
    foreign = [
        f"queue {name}: {pluralize(count, 'message')} of task {task}, which is not Overstory's"
        for name, counted in tasks.items()
        for task, count in sorted(counted.items())
        if task not in OURS
    ]
    taking = [
        f"worker {name} of another app takes from {', '.join(taken)}"
        for name, taken in sorted(workers.items())
    ]
    stray = tasks.get(PLAIN_QUEUE, Counter())[SUBMIT.task]
    if stray:
        taking.append(
            f"queue {PLAIN_QUEUE}: {pluralize(stray, 'submission')} that only a running reconciler"
            f" moves to the queue {SUBMIT.name}: name that queue where they are sent"
        )
    others = [name for name in queues if name != PLAIN_QUEUE]
    if others:
        taking.append(f"other apps have declared the queues {', '.join(others)}")
    if not (foreign or taking):
        return ok("no other app uses the broker's database")
    theirs = {name for name, taken in workers.items() if set(taken) & set(tasks) - {PLAIN_QUEUE}}
    says = "another app uses the broker's database"
    if theirs:
        says += f", and its worker {min(theirs)} takes messages of ours"
    return warning(says, OWN_DATABASE, *foreign, *taking)


def _foreign_workers(context: Context) -> dict[str, list[str]]:
    """Queues by name of the workers that answer where Celery's workers usually do; ours do not."""
    app = Celery("overstory-doctor", set_as_current=False)
    app.conf.update(celery_connection(context.settings))
    taken: defaultdict[str, list[str]] = defaultdict(list)
    try:
        answers: Any = app.control.broadcast("active_queues", reply=True, timeout=PING_SECONDS)
        for answer in answers or ():
            for name, queues in answer.items():
                taken[name] = sorted(queue["name"] for queue in queues)
    finally:
        app.close()
    return dict(taken)


def letters(context: Context) -> Finding | None:
    """No message was put aside."""
    if not is_up(context):
        return None
    server = RedisServer(broker_address(context.settings).url())
    try:
        count, newest = dead_letters.newest(server, SHOWN)
    finally:
        server.close()
    if not count:
        return ok("no message was put aside")
    return warning(
        f"{pluralize(count, 'message')} could not be used and lie in the list {dead_letters.KEY}",
        "find their sender, then delete the list (docs/service.md, Dead letters)",
        *(
            f"{letter['at']} queue {letter['queue']}, task {letter['task']}: {letter['reason']}"
            for letter in newest
        ),
    )
