"""Jobs belong to the token that submitted them: no other token sees them or learns of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from core.errors import WrongUsage
from core.jobs import JobSpec
from models.reads import inspect, views
from overstory.api.caller import Caller, find_job
from overstory.api.problems import NoSuchJob, NotAllowed
from overstory.api.submissions import Submissions
from tasks import followups
from tasks import submit as submitting
from tasks.submit import Submitted
from tests.support.account import Account

LAB, SHOP, BOSS = (Caller(name, is_admin=name == "boss") for name in ("lab", "shop", "boss"))
READER = Caller("lab", is_admin=False, read_only=True)


@pytest.fixture
def account(open_account: Callable[..., Account], make_images: Callable[..., Path]) -> Account:
    folder = make_images(2)
    return open_account(start=False, input_roots=(str(folder.parent),))


def submit(account: Account, folder: Path, owner: str | None, key: str | None = None) -> Submitted:
    spec = JobSpec(images=[str(folder)], ask="What is there?", key=key)
    return submitting.submit(account.services, spec, owner=owner)


def listed(account: Account, owner: str | None) -> Sequence[str]:
    with account.services.database.read() as connection:
        return [line.id for line in inspect.jobs(connection, owner=owner)]


def test_a_token_finds_its_own_jobs_and_an_admin_all(account, make_images) -> None:
    folder = make_images(2)
    jobs = {owner: submit(account, folder, owner).job_id for owner in ("lab", "shop", None)}
    database = account.services.database
    for caller in (LAB, SHOP):
        assert find_job(database, jobs[caller.name], caller).owner == caller.name
    for caller, owner in ((LAB, "shop"), (SHOP, "lab"), (LAB, None)):
        with pytest.raises(NoSuchJob) as stranger:
            find_job(database, jobs[owner], caller, changes=True)
        with pytest.raises(NoSuchJob) as nobody:
            find_job(database, "nothing", caller)
        # a job of somebody else is told in the same words as no job
        assert str(stranger.value).replace(jobs[owner], "nothing") == str(nobody.value)
    for caller in (BOSS, Caller()):
        assert {find_job(database, job, caller).owner for job in jobs.values()} == {*jobs}
    assert {owner: listed(account, owner or "local") for owner in jobs} == {
        owner: [job] for owner, job in jobs.items()
    }
    assert set(listed(account, None)) == set(jobs.values())
    with database.read() as connection:
        rows = views.rows(connection, views.JOBS, 5)
    assert {row["job"]: row["owner"] for row in rows} == {job: own for own, job in jobs.items()}


def test_a_token_that_may_only_read_changes_and_submits_nothing(account, make_images) -> None:
    job = submit(account, make_images(2), "lab").job_id
    assert find_job(account.services.database, job, READER).id == job
    with pytest.raises(NotAllowed):
        find_job(account.services.database, job, READER, changes=True)
    spec = JobSpec(images=["https://example.com/a.jpg"], ask="?")
    with pytest.raises(NotAllowed):
        Submissions(account.services).submit(spec, READER)
    assert listed(account, None) == [job]


def test_keys_of_two_tokens_neither_collide_nor_tell_of_each_other(account, make_images) -> None:
    first, other = sorted(make_images(2).iterdir())
    made = submit(account, first, "lab", "monday")
    assert made.created
    assert submit(account, first, "lab", "monday") == Submitted(made.job_id, created=False)
    assert submit(account, other, "shop", "monday").created
    assert submit(account, other, None, "monday").created
    with pytest.raises(WrongUsage, match="has the key 'monday' and differs in images"):
        submit(account, other, "lab", "monday")
    assert account.job(made.job_id).key != "monday"


@pytest.mark.slow
def test_a_job_continues_only_jobs_of_its_owner(open_account, make_images) -> None:
    account = open_account()
    folder = make_images(2)
    first = submit(account, folder, "lab").job_id
    account.ended(first)
    again = [submit(account, folder, owner).job_id for owner in ("lab", "shop", None)]
    ended = account.ended(*again)
    assert [job.follows for job in ended] == [first, None, None]
    turn = followups.ask(account.services, first, "What colour?").job_id
    assert account.job(turn).owner == "lab"
    turn = followups.ask(account.services, again[2], "What colour?", owner="shop").job_id
    assert account.job(turn).owner == "shop"
