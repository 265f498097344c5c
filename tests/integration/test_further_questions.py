"""Further questions about an answered job, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import WrongUsage
from core.jobs import parse_spec
from core.settings import load
from core.states import NodeStatus
from models.engine import Database
from models.tables import Job, Node
from overstory.local.job_runner import planning_services
from tasks import followups, submit
from tasks.runtime.services import Services
from tests.support import jobs


@pytest.fixture
def services(own: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Settings that suffice to plan: no broker, leaves of two images."""
    monkeypatch.setenv("OVERSTORY_IMAGES_PER_REQUEST", "2")
    made = planning_services(load())
    yield made
    made.close()


@pytest.fixture
def job(services: Services, make_images: Callable[..., Path]) -> str:
    """An answered job of two leaves."""
    spec = parse_spec({"images": [str(make_images(4))], "ask": "What?"})
    made = submit.submit(services, spec).job_id
    answer(services, made)
    return made


def answer(services: Services, job: str) -> None:
    database = services.database
    jobs.upload_all(database, job)
    while ready := [n for n in jobs.look(database, Node, job) if n.status == NodeStatus.READY]:
        jobs.finish_node(database, ready[0].id)


def count(services: Services) -> int:
    with services.database.read() as connection:
        return len(connection.execute(Job.__table__.select()).all())


@pytest.mark.parametrize("question", ["", " ", "\n\t"])
def test_an_empty_further_question_is_refused_and_not_planned(
    services: Services, job: str, question: str
) -> None:
    with pytest.raises(WrongUsage, match="must have at least 1 character"):
        followups.ask(services, job, question)
    assert count(services) == 1


def test_a_question_already_answered_from_images_is_not_asked_of_the_notes(
    services: Services, job: str
) -> None:
    notes = followups.ask(services, job, "Which?").job_id
    answer(services, notes)
    looked = followups.ask(services, job, "Which?", frozenset({3}), instead_of=notes).job_id
    answer(services, looked)
    for look in (frozenset[int](), frozenset({3})):
        assert followups.ask(services, job, "Which?", look).job_id == looked
    assert count(services) == 3
    elsewhere = followups.ask(services, job, "Which?", frozenset({1}))
    assert elsewhere.created
    answer(services, elsewhere.job_id)
    answer(services, followups.ask(services, job, "Why?").job_id)
    assert followups.ask(services, job, "Which?").created


def test_space_around_a_further_question_does_not_change_its_job(
    services: Services, job: str
) -> None:
    asked = followups.ask(services, job, "Which?")
    assert followups.ask(services, job, " Which?\n").job_id == asked.job_id
