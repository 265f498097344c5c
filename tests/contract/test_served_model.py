"""Which model is asked at an endpoint of a person's own, if nobody names one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from core.errors import WrongUsage
from core.settings import load
from overstory.doctor.endpoint import model_finding
from overstory.doctor.finding import Level
from overstory.local.preflight import with_served_model
from tests.support.fake_endpoint import Answer, FakeEndpoint


def asked(*models: str, status: int = 200, **settings: object) -> tuple[str, str, int]:
    """The model that is asked, what is said, and the number of requests."""
    body = {"object": "list", "data": [{"id": name, "object": "model"} for name in models]}
    said = io.StringIO()
    with FakeEndpoint(Answer(status, body)) as endpoint:
        given = load(base_url=endpoint.url, provider="openai", **settings)
        served = with_served_model(given, Console(file=said, width=200))
        return served.model, said.getvalue(), len(endpoint.received)


def test_the_only_model_is_asked_and_named() -> None:
    model, said, _ = asked("my-vl")
    assert model == "my-vl"
    assert "model: my-vl, the only one at http://127.0.0.1" in said


def test_a_model_that_somebody_named_is_asked_and_nothing_is_requested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OVERSTORY_MODEL", "step-3.7-flash")
    assert asked("my-vl") == ("step-3.7-flash", "", 0)


def test_of_several_one_has_to_be_named_unless_the_default_is_there() -> None:
    with pytest.raises(WrongUsage, match=r"serves 2: a-vl, b-vl\. Give --model"):
        asked("b-vl", "a-vl")
    assert asked("b-vl", "step-3.7-flash")[0] == "step-3.7-flash"


@pytest.mark.parametrize("status", [404, 401])
def test_an_endpoint_that_lists_none_is_asked_for_the_default(status: int) -> None:
    assert asked(status=status)[:2] == ("step-3.7-flash", "")


def test_the_doctor_says_which_one_answers() -> None:
    finding = model_finding(load(provider="openai"), ["my-vl"])
    assert finding.level == Level.OK
    assert "my-vl answers" in finding.says
