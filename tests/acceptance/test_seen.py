"""``overstory run`` over a server whose model does not see all that it is sent.

What the command says is held against the sandbox's ledger, which knows what the model truly saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from sqlalchemy import select

from core import prompts
from core.requests.canary import WORDS
from core.text.citations import cited_numbers
from models.engine import Database
from models.tables import Image, Node
from overstory.sandbox.account.prompt_cache import text_tokens
from tests.support import sight
from tests.support.command import Endpoint, Person, Ran

pytestmark = pytest.mark.acceptance

CARDS, FEW = 120, 12
LOW = ("--detail", "low")
EVERY_FOURTH = {"skips_every": 4}
FIRST_ONLY = {"sees_first": 1}
CUT = {"keeps_tokens": 4096}
CAP_MESSAGE = "At most {most} image(s) may be provided in one prompt."
LIES = {"blind": True, "invents": True, "usage": "absent"}
BLIND_REQUESTS = 12
LABELS_SHARE = 1.03
DISTINCT = " and tells it from the others"
"""The words of the leaf's prompt that were added so that lines tell images apart."""


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sight.make_cards(tmp_path_factory.mktemp("cards") / "all", CARDS)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sight.make_cards(tmp_path_factory.mktemp("cards") / "few", FEW)


@dataclass(frozen=True)
class Asked:
    """One command, and what the endpoint has on record of it."""

    ran: Ran
    ledger: Sequence[sight.Line]

    @property
    def result(self) -> dict[str, Any]:
        return self.ran.result

    @property
    def shown(self) -> list[int]:
        """How many images each of its requests showed."""
        return [len(call["images"]) for call in sight.image_calls(self.ledger)]

    @property
    def calls(self) -> int:
        return sum(line["event"] == "start" for line in self.ledger)


class Bench:
    """The person's command and the endpoint that it asks, as both know it."""

    def __init__(self, person: Person, endpoint: Endpoint) -> None:
        person.settings["OVERSTORY_TIER"] = "V4"
        self._person, self._endpoint = person, endpoint
        self._database = Database(f"sqlite:///{person.home / 'overstory.db'}")
        self.be()

    def be(self, **behaviour: object) -> None:
        """Let the sandbox behave so from now on."""
        self._endpoint.process.configure(tier="V4", **behaviour)

    def run(self, cards: Path, *words: str, ask: str = "What is on the cards?") -> Asked:
        return self.say(cards, "--json", *words, "--ask", ask)

    def say(self, cards: Path, *words: str) -> Asked:
        before = len(self._ledger())
        ran = self._person.say("run", cards, *LOW, *words)
        return Asked(ran, self._ledger()[before:])

    def check_all_seen(self, asked: Asked) -> dict[str, Any]:
        """The result, once all its images are included and the ledger agrees."""
        result = asked.result
        images = result["images"]
        number = len(images)
        assert (asked.ran.status, result["status"]) == (0, "completed")
        assert result["coverage"]["included"] == sum(result["seen"].values()) == number
        assert self.findings(asked) == []
        assert set(cited_numbers(result["answer"])) <= set(range(1, number + 1))
        return result

    def check_given_up(self, asked: Asked) -> None:
        result = asked.result
        assert (asked.ran.status, result["status"]) == (1, "failed")
        assert result["coverage"]["included"] == sum(result["seen"].values()) == 0
        assert result["answer"] is None
        assert "overstory doctor" in result["reason"]
        assert asked.calls <= BLIND_REQUESTS

    def findings(self, asked: Asked) -> list[str]:
        return sight.findings(self._database, asked.result["job"], asked.ledger)

    def texts(self) -> str:
        """All that was written of all jobs."""
        with self._database.read() as connection:
            rows = connection.execute(select(Node.text)).scalars()
            return "\n".join(text for text in rows if text)

    def hashes(self) -> set[str]:
        """Of all images of all jobs, as they were sent."""
        with self._database.read() as connection:
            return set(connection.execute(select(Image.sha256)).scalars())

    def _ledger(self) -> list[sight.Line]:
        lines = self._endpoint.process.ledger()
        return [line for line in lines if line["account"] == self._endpoint.account]

    def close(self) -> None:
        self._database.dispose()


@pytest.fixture
def bench(person: Person, endpoint: Endpoint) -> Iterator[Bench]:
    bench = Bench(person, endpoint)
    yield bench
    bench.close()


# --- what the model does not see or does not tell is asked again


@pytest.mark.parametrize(
    ("behaviour", "is_learned"),
    [
        pytest.param(EVERY_FOURTH, False, id="every fourth left out of the notes"),
        pytest.param(FIRST_ONLY, True, id="sees the first image alone"),
        pytest.param(CUT, True, id="prompt cut at 4096 tokens"),
        pytest.param(EVERY_FOURTH | FIRST_ONLY | CUT, True, id="all three"),
    ],
)
def test_no_image_is_included_that_was_not_seen_and_all_are_answered_for(
    bench: Bench, cards: Path, behaviour: dict[str, object], is_learned: bool
) -> None:
    bench.be(**behaviour)
    first = bench.run(cards)
    result = bench.check_all_seen(first)
    assert result["seen"] == {"answer": 0, "line": CARDS, "sent": 0}
    assert f"Of {CARDS} images" in result["answer"]
    second = bench.run(cards, ask="Which cards are dark?")
    result = bench.check_all_seen(second)
    assert sight.refused(second.ledger) == 0
    # lines that are left out are no limit that could be learned: they are asked for in every job
    assert len(second.shown) == (result["tree"]["leaves"] if is_learned else len(first.shown))


def test_an_endpoint_that_takes_one_image_in_a_request_shows_every_image(
    bench: Bench, cards: Path
) -> None:
    bench.be(max_images=1, too_many_images_message=CAP_MESSAGE)
    first = bench.run(cards)
    bench.check_all_seen(first)
    assert first.shown == [1] * CARDS


def test_each_image_has_an_answer_of_its_own_although_a_reply_leaves_every_fourth_out(
    bench: Bench, cards: Path
) -> None:
    bench.be(**EVERY_FOURTH)
    check_each(bench, cards, CARDS)


def test_each_image_has_an_answer_of_its_own_although_the_model_sees_the_first_alone(
    bench: Bench, few: Path
) -> None:
    bench.be(**FIRST_ONLY)
    check_each(bench, few, FEW)


def check_each(bench: Bench, cards: Path, number: int) -> None:
    result = bench.check_all_seen(bench.say(cards, "--json", "--each", "What is on the card?"))
    assert result["seen"] == {"answer": number, "line": 0, "sent": 0}
    assert all(image["answer"] for image in result["images"])


# --- a model that does all it should


def test_a_model_that_sees_and_tells_all_is_asked_once_and_labels_cost_little(
    bench: Bench, cards: Path
) -> None:
    asked = bench.run(cards)
    bench.check_all_seen(asked)
    assert asked.shown == [60] * (CARDS // 60)
    assert asked.calls == len(asked.shown) + 1
    assert DISTINCT in prompts.text("leaf")
    added = sum(_label_tokens(shown) + text_tokens(len(DISTINCT)) for shown in asked.shown)
    paid = asked.result["usage"]["prompt_tokens"]
    assert paid == sum(line["prompt_tokens"] for line in asked.ledger if line["event"] == "reply")
    assert paid <= LABELS_SHARE * (paid - added)


def _label_tokens(images: int) -> int:
    """Tokens of the numbers before the images, by the sandbox's count."""
    labels = (prompts.fill("label", {}, number=n) for n in range(1, images + 1))
    return sum(text_tokens(len(label)) for label in labels)


def test_a_set_that_one_request_shows_needs_no_second_one(bench: Bench, few: Path) -> None:
    asked = bench.run(few)
    result = bench.check_all_seen(asked)
    assert asked.shown == [FEW]
    assert asked.calls == 1
    assert all(image["note"] for image in result["images"])
    assert "===" not in result["answer"]
    assert not any(image["note"] in result["answer"] for image in result["images"])


def test_a_bare_answer_is_taken_as_it_comes_and_images_without_a_line_count_as_sent(
    bench: Bench, few: Path
) -> None:
    bench.be(**EVERY_FOURTH)
    asked = bench.run(few, "--bare")
    result = bench.check_all_seen(asked)
    assert asked.calls == 1
    assert result["seen"] == {"answer": 0, "line": FEW - FEW // 4, "sent": FEW // 4}


# --- a model that sees nothing


def test_a_blind_model_is_given_up_after_a_few_requests(bench: Bench, cards: Path) -> None:
    bench.be(blind=True)
    asked = bench.say(cards, "--ask", "What is on the cards?")
    assert (asked.ran.status, asked.ran.out) == (1, "")
    assert asked.calls <= BLIND_REQUESTS
    assert "overstory doctor" in asked.ran.err
    assert "takes images" in asked.ran.err
    assert "included" not in asked.ran.err


def test_a_blind_model_that_invents_lines_has_nothing_included(bench: Bench, cards: Path) -> None:
    bench.be(blind=True, invents=True)
    asked = bench.run(cards)
    bench.check_given_up(asked)


# --- pictures of ours among the images


def test_a_model_that_reads_the_word_is_paid_for_it_and_nothing_tells_of_it(
    bench: Bench, cards: Path
) -> None:
    asked = bench.run(cards, "--canary")
    result = bench.check_all_seen(asked)
    shown = {sha for call in sight.image_calls(asked.ledger) for sha in call["images"]}
    assert len(shown - bench.hashes()) == sum(asked.shown) - CARDS >= len(asked.shown)
    assert len(result["images"]) == result["coverage"]["submitted"] == CARDS
    assert not any(word in bench.texts() for word in WORDS)
    assert f"Of {CARDS} images" in result["answer"]
    replies = [line for line in asked.ledger if line["event"] == "reply"]
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
        assert result["usage"][name] == sum(reply[name] for reply in replies)


@pytest.mark.parametrize("sees", [0, 9])
def test_a_model_that_invents_lines_and_reports_no_usage_is_found_out_by_a_canary(
    bench: Bench, cards: Path, sees: int
) -> None:
    bench.be(sees_first=sees, invents=True, usage="absent")
    asked = bench.run(cards, "--canary")
    if sees:
        bench.check_all_seen(asked)
    else:
        bench.check_given_up(asked)


# --- after the server was mended, and what seeing must not cost


def test_a_retry_asks_again_about_images_that_were_not_seen(
    bench: Bench, person: Person, tmp_path: Path
) -> None:
    cards = sight.make_cards(tmp_path / "two", 2)
    bench.be(blind=True)
    job = bench.run(cards).result["job"]
    bench.be(blind=False)
    assert person.say("retry", job).status == 0


def test_a_job_that_was_given_up_is_asked_again_by_the_same_command(
    bench: Bench, few: Path
) -> None:
    bench.be(blind=True)
    bench.run(few)
    bench.be(blind=False)
    bench.check_all_seen(bench.run(few))


def test_a_job_that_was_given_up_leaves_no_limit_behind(bench: Bench, few: Path) -> None:
    bench.be(blind=True)
    bench.run(few)
    bench.be(blind=False)
    assert bench.run(few, ask="Which cards are dark?").shown == [FEW]


def test_a_canary_that_finds_no_room_is_reported(bench: Bench, few: Path) -> None:
    bench.be(max_images=1, too_many_images_message=CAP_MESSAGE, **LIES)
    asked = bench.run(few, "--canary")
    assert asked.result["coverage"]["included"] == 0 or "canar" in asked.ran.err


def test_a_canary_without_a_line_limits_no_other_job(bench: Bench, few: Path) -> None:
    bench.be(says_nothing_every=FEW + 2)  # the last of two canaries
    bench.check_all_seen(bench.run(few, "--canary"))
    assert bench.run(few, ask="Which cards are dark?").shown == [FEW]


def test_images_that_look_alike_do_not_cost_a_request_each(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "alike").mkdir()
    for number in range(24):  # two kinds, which a single pixel tells apart
        picture = Picture.new("RGB", (256, 192), ("red", "blue")[number % 2])
        picture.putpixel((number, 0), (1, 1, 1))
        picture.save(tmp_path / "alike" / f"{number:04}.png")
    asked = bench.run(tmp_path / "alike")
    bench.check_all_seen(asked)
    assert asked.calls <= 4
