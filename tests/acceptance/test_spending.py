"""``overstory run --budget``: its output, and the cost of a kill."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest

from core.catalog.models import Price, cost
from tests.support.command import Endpoint, Person, parsed
from tests.support.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

PRICE = Price("USD", 0.20, 0.04, 1.15)
DEAR = {"reasoning_tokens": 8_000, "tier": "V4"}
"""A reply costs nearly as much as was reserved for it."""


def generated(endpoint: Endpoint) -> float:
    """The cost of all that the endpoint generated, received or not."""
    lines = [x for x in endpoint.process.ledger() if x["account"] == endpoint.account]
    return sum(
        cost(PRICE, x["prompt_tokens"], x["cached_tokens"], x["completion_tokens"])
        for x in lines
        if x["event"] == "reply" and x["status"] in (200, 499)
    )


@pytest.fixture
def spender(person: Person, endpoint: Endpoint) -> Person:
    endpoint.process.configure(**DEAR)
    person.settings |= {"OVERSTORY_TIER": "V4", "OVERSTORY_IMAGES_PER_REQUEST": "6"}
    return person


def test_a_run_ends_at_its_budget_and_shows_how_to_continue(
    spender: Person, endpoint: Endpoint, make_images
) -> None:
    photos = make_images(60)
    ran = spender.run(photos, "--budget", "0.05")
    assert ran.status == 3
    assert ran.out == ""
    assert "paused: budget: 0.0" in ran.err
    assert "not looked at yet" in ran.err
    assert "overstory resume" in ran.err
    job = re.findall(r"^job (\w+) paused", ran.err, re.MULTILINE)[0]
    result = parsed(spender.say("show", job, "--json"))
    assert (result["status"], result["answer"], result["budget"]) == ("paused", None, 0.05)
    assert result["usage"]["cost"] == pytest.approx(generated(endpoint), abs=1e-6)
    assert generated(endpoint) <= 0.05
    coverage = result["coverage"]
    assert coverage["submitted"] == 60 > coverage["included"] > 0
    assert sum(image["status"] == "included" for image in result["images"]) == coverage["included"]
    enough = result["reason"].rpartition("--budget ")[2]
    resumed = spender.say("resume", result["job"], "--budget", enough, "--json")
    assert resumed.status == 0, resumed.err
    assert parsed(resumed)["coverage"]["included"] == 60
    assert generated(endpoint) <= float(enough)
    assert endpoint.stats()["repeated_paid"] == 0


def test_the_same_command_with_a_larger_budget_continues(
    spender: Person, endpoint: Endpoint, make_images
) -> None:
    photos = make_images(18)
    paused = spender.run(photos, "--budget", "0.02", "--json")
    first = paused.result
    assert (paused.status, first["status"], first["answer"]) == (3, "paused", None)
    second = spender.run(photos, "--budget", "1", "--json")
    assert second.status == 0
    assert second.result["job"] == first["job"]
    assert endpoint.stats()["repeated_paid"] == 0


def test_calls_in_flight_of_a_killed_run_stay_within_the_budget(
    spender: Person, endpoint: Endpoint, make_images
) -> None:
    endpoint.process.configure(hold=True, concurrency=100)
    spender.settings |= {"OVERSTORY_CONCURRENCY": "100", "OVERSTORY_LEASE_SECONDS": "2"}
    photos = make_images(60)
    running = spender.start(photos, "--budget", "0.06")
    eventually(lambda: endpoint.in_flight() >= 4)
    os.killpg(running.pid, signal.SIGKILL)
    spender.kill_processes()
    endpoint.process.configure(hold=False, latency_seconds=0.1)
    ran = spender.run(photos, "--budget", "0.06", "--json")
    assert ran.status == 3
    assert json.loads(ran.out)["status"] == "paused"
    eventually(lambda: endpoint.in_flight() == 0)
    assert generated(endpoint) <= 0.06


def test_a_budget_needs_a_price_which_a_custom_price_list_can_give(
    person: Person, make_images
) -> None:
    photos = make_images(1)
    refused = person.run(photos, "--budget", "1", "--model", "llava")
    assert refused.status == 2
    assert "OVERSTORY_PRICES" in refused.err
    prices = {"as_of": "2026-11-20", "models": {"step-3.7-flash": {"prompt": 9, "completion": 9}}}
    person.settings["OVERSTORY_PRICES"] = json.dumps(prices)
    told = parsed(person.say("estimate", photos, "--ask", "?", "--json"))
    assert told["prices_as_of"] == "2026-11-20"
    result = person.run(photos, "--budget", "1", "--json").result
    used = result["usage"]
    tokens = used["prompt_tokens"] + used["completion_tokens"]
    assert used["cost"] == pytest.approx(9e-6 * tokens, abs=1e-6)


def test_much_is_spent_only_with_yes_and_the_price_is_said_first(
    person: Person, endpoint: Endpoint, make_images
) -> None:
    photos = make_images(6)
    person.settings["OVERSTORY_CONFIRM_ABOVE"] = "0.0001"
    refused = person.run(photos)
    assert refused.status == 2
    assert "6 images" in refused.err
    assert "add --yes" in refused.err
    assert (endpoint.stats()["calls"], endpoint.stats()["uploads"]) == (0, 0)
    job = re.findall(r"^job (\w+): about 0\.\d{4} USD", refused.err, re.MULTILINE)[0]
    ran = person.run(photos, "--yes", "--json")
    assert (ran.status, ran.result["job"]) == (0, job)
    asked = person.say("ask", job, "And which is darkest?")
    assert (asked.status, endpoint.stats()["paid"]) == (2, 1)
    asked = person.say("ask", job, "And which is darkest?", "--budget", "0.5", "--json")
    assert parsed(asked)["budget"] == 0.5
