"""How an endpoint counts, from the calls on the ledger."""

from __future__ import annotations

import pytest

from core.account.token_fit import CALLS_TO_CONTRADICT
from core.reply import Reply, Usage
from core.requests.probe_findings import ProbeFindings
from core.requests.prompt_parts import PromptParts
from models import endpoint_probes, ledger
from models.ledger import NewCall
from models.reads.token_fits import known_formulas, token_fit_of
from tests.support import jobs

HERE = "https://models.example/v1"


def paid(
    database, number: int, tokens: int, endpoint: str = HERE, estimated: bool = False,
    model: str = "m",
) -> None:  # fmt: skip
    parts = PromptParts("low", (((728, 546), number),), 1_200, 0)
    new = NewCall(
        f"{endpoint} {number} {tokens}",
        *(None, None, jobs.ACCOUNT, model, number, 200, "USD"),
        endpoint=endpoint,
        prompt_parts=parts,
    )
    reply = Reply("an answer", "", "stop", Usage(tokens, 0, 5, estimated), None, "m")
    with database.write() as connection:
        call = ledger.open_call(connection, new, jobs.lease())
        ledger.settle(connection, call, reply, 0.0)


def fit_of(database, endpoint: str = HERE, model: str = "m"):
    with database.read() as connection:
        return token_fit_of(connection, endpoint, model)


def test_calls_tell_how_a_model_counts_at_their_endpoint(database):
    assert fit_of(database) is None
    for number in range(1, 13):
        paid(database, number, 300 + 500 * number)
        paid(database, number, 300 + 900 * number, "https://other.example/v1")
        paid(database, number, 17 * number, estimated=True)
    assert fit_of(database).of(728, 546, "low") == pytest.approx(500, rel=0.02)
    assert fit_of(database).calls == 12
    assert fit_of(database, "https://other.example/v1").of(728, 546, "low") > 850


def test_a_fit_is_kept_until_a_fourth_more_calls_were_answered(database):
    for number in range(1, 13):
        paid(database, number, 300 + 500 * number)
    first = fit_of(database)
    assert first.calls == 12
    for number in range(21, 24):
        paid(database, number, 300 + 500 * number)
        assert fit_of(database) is first
    paid(database, 24, 300 + 500 * 24)
    assert fit_of(database).calls == 16


def test_a_known_model_is_measured_when_enough_calls_could_contradict_what_is_known(database):
    for number in range(1, CALLS_TO_CONTRADICT + 1):
        assert fit_of(database, model="gpt-4o") is None
        paid(database, number, 300 + 500 * number, model="gpt-4o")
    assert fit_of(database, model="gpt-4o").calls == CALLS_TO_CONTRADICT


def test_a_forgotten_ledger_is_measured_anew(database):
    for number in range(1, 13):
        paid(database, number, 300 + 500 * number)
    assert fit_of(database) is not None
    with database.write() as connection:
        endpoint_probes.keep(connection, HERE, "m", ProbeFindings(images=12))
        assert endpoint_probes.forget(connection) == 1
        assert endpoint_probes.probed(connection, HERE, "m") is None
    assert fit_of(database) is None
    paid(database, 3, 300 + 900 * 3)
    assert fit_of(database).of(728, 546, "low") > 850


def test_calls_of_older_versions_tell_nothing(database):
    with database.write() as connection:
        new = NewCall("k", None, None, jobs.ACCOUNT, "m", 1, 200, "USD")
        call = ledger.open_call(connection, new, jobs.lease())
        ledger.settle(connection, call, Reply("a", "", "stop", Usage(9, 0, 1), None, "m"), 0.0)
    assert fit_of(database) is None


def test_published_formulas_have_names_for_people():
    names = [formula.name for formula in known_formulas()]
    assert len(names) > 20
    assert not any(set("*?") & set(name) for name in names)
