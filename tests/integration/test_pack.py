"""A job with a pack: the most images that one of its requests shows."""

from __future__ import annotations

import pytest

from core.errors import WrongUsage
from core.jobs import parse_spec
from core.settings import load
from core.states import NodeKind
from models.reads import lineage
from models.tables import Node
from overstory.local.job_runner import planning_services
from tasks import followups, submit
from tests.support import jobs


@pytest.fixture
def services(own):
    made = planning_services(load())
    yield made
    made.close()


def leaves(services, job: str) -> list[Node]:
    return [n for n in jobs.look(services.database, Node, job) if n.kind == NodeKind.LEAF]


def test_no_leaf_shows_more_than_the_pack(open_account, make_images):
    account = open_account()
    job = account.submit(make_images(12), pack=5)
    (done,) = account.ended(job)
    assert done.status == "completed"
    with account.services.database.read() as connection:
        earlier = lineage.earlier(connection, job)
    assert [len(leaf.items) for leaf in earlier.root.children] == [4, 4, 4]
    assert done.options.pack == 5


def test_another_pack_is_another_job_that_takes_over_no_answer(services, make_images):
    photos = str(make_images(6))

    def plan(**fields: object) -> str:
        spec = parse_spec({"images": [photos], "ask": "What?"} | fields)
        return submit.submit(services, spec, natural=True).job_id

    whole = plan()
    jobs.upload_all(services.database, whole)
    jobs.finish_node(services.database, leaves(services, whole)[0].id)
    packed = plan(pack=2)
    assert packed != whole
    assert plan(pack=2) == packed
    assert [leaf.status for leaf in leaves(services, packed)] == ["waiting"] * 3


def test_a_message_with_a_pack_above_the_cap_is_refused(services, make_images):
    spec = parse_spec({"images": [str(make_images(2))], "ask": "?", "pack": 61})
    with pytest.raises(WrongUsage, match=r"step-3\.7-flash takes 60 at most"):
        submit.submit(services, spec, by_message=True)


def test_a_further_question_has_the_pack_of_its_job_or_its_own(services, make_images):
    spec = parse_spec({"images": [str(make_images(4))], "ask": "What?", "pack": 2})
    base = submit.submit(services, spec).job_id
    jobs.upload_all(services.database, base)
    while ready := [n for n in jobs.look(services.database, Node, base) if n.status == "ready"]:
        jobs.finish_node(services.database, ready[0].id)
    every = frozenset(range(1, 5))
    same = followups.ask(services, base, "And?", every).job_id
    assert len(leaves(services, same)) == 2
    with pytest.raises(WrongUsage, match="60 at most"):
        followups.ask(services, base, "And?", every, instead_of=same, pack=61)
    alone = followups.ask(services, base, "And?", every, instead_of=same, pack=1).job_id
    assert len(leaves(services, alone)) == 4
