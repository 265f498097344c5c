"""An endpoint that takes less in one request than its model should: learned once, used by all."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from clients.provider.request_limits import limit_in
from core.errors import RequestPart
from models import endpoint_limits
from tests.support import jobs, shell
from tests.support.fake_endpoint import Answer, FakeEndpoint, Received

TEXTS = {
    "vLLM": "At most {most} image(s) may be provided in one prompt.",
    "StepFun": "images_too_many: the request has too many images",
}


class Capped(FakeEndpoint):
    """Refuses more than ``most`` images, and writes a note for each image otherwise."""

    def __init__(self, most: int, text: str) -> None:
        super().__init__()
        self.most, self.text = most, text
        self.refused = 0
        self._counting = threading.Lock()

    def take(self, request: Received) -> Answer:
        if not request.path.endswith("/chat/completions"):
            return Answer(body={"object": "list", "data": []})
        shown = _images(json.loads(request.body))
        if shown > self.most:
            with self._counting:
                self.refused += 1
            return Answer(400, {"error": {"message": self.text.format(most=self.most)}})
        notes = "".join(f"[{n}] a square. " for n in range(1, shown + 1)) or "Squares [1-60]."
        choice = {"index": 0, "message": {"content": notes}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100 + 171 * shown, "completion_tokens": 10}
        return Answer(body={"choices": [choice], "usage": usage})


def _images(body: dict[str, Any]) -> int:
    parts = body["messages"][-1]["content"]
    return sum(part["type"] == "image_url" for part in parts) if isinstance(parts, list) else 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("family", "most"), [("vLLM", 1), ("vLLM", 20), *(("StepFun", n) for n in (1, 5, 12, 20))]
)
def test_a_cap_on_images_is_found_by_few_refusals_and_by_none_the_next_time(
    family, most, open_account, make_images
):
    with Capped(most, TEXTS[family]) as endpoint:
        account = open_account(
            base_url=endpoint.url, provider="openai", model="vlm", images_per_request=60
        )
        first = account.submit(make_images(180))
        (job,) = account.ended(first)
        assert (job.status, account.statuses(first)) == ("completed", {"included": 180})
        assert 0 < endpoint.refused <= 8
        refused = endpoint.refused
        second = account.submit(make_images(60, "fewer"), ask="Anything else?")
        (job,) = account.ended(second)
        assert (job.status, endpoint.refused) == ("completed", refused)
        account.stop()


@pytest.mark.parametrize(
    ("status", "text", "limit"),
    [
        (400, "At most 1 image(s) may be provided in one request.", ("images", 1)),
        (400, "Too many images in request. Max is 10.", ("images", 10)),
        (400, "Exceeded maximum number of images (20) allowed in the request.", ("images", 20)),
        (500, "too many images in the message, max allowed is 16", ("images", 16)),
        (400, "too many images and documents: 120 + 0 > 100", ("images", 100)),
        (400, "request contains 54 images, exceeding the maximum of 50 allowed per request",
         ("images", 50)),
        (400, "This model's maximum context length is 4,096 tokens. However, you requested 9000",
         ("tokens", 4096)),
        (400, "prompt is too long: 209353 tokens > 199999 maximum", ("tokens", 199999)),
        (400, "The input token count (3) exceeds the maximum number of tokens allowed (2).",
         ("tokens", 2)),
        (400, "Requested tokens (2065) exceed context window of 1800", ("tokens", 1800)),
        (500, "the request exceeds the available context size. try increasing it",
         ("tokens", None)),
        (413, "<html>nginx</html>", ("bytes", None)),
        (429, "At most 1 image(s) may be provided in one request.", None),
        (400, "the image cannot be downloaded", None),
    ],
)  # fmt: skip
def test_a_refusal_says_what_one_request_may_hold(status, text, limit):
    expected = None if limit is None else (RequestPart(limit[0]), limit[1])
    assert limit_in(status, "", text) == expected


def test_refusals_at_the_same_moment_record_one_limit(database):
    together = threading.Barrier(8)

    def refuse(_: int) -> bool:
        with database.write() as connection:
            if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
                together.wait(10)
            return endpoint_limits.learn(
                connection, "e", "m", RequestPart.IMAGES, 5, True, "at most 5"
            )

    assert sorted(jobs.at_once(refuse, range(8))) == [False] * 7 + [True]


def test_a_lower_limit_stays_and_all_can_be_forgotten(database):
    with database.write() as connection:
        assert endpoint_limits.learn(connection, "e", "m", RequestPart.IMAGES, 12, True, "12")
        assert not endpoint_limits.learn(connection, "e", "m", RequestPart.IMAGES, 20, True, "20")
        assert endpoint_limits.learn(connection, "e", "m", RequestPart.IMAGES, 6, False, "many")
        found = endpoint_limits.learned(connection, "e", "m")
        assert (found.images, found.probing) == (6, True)
        endpoint_limits.proven(connection, "e", "m")
        assert not endpoint_limits.learned(connection, "e", "m").probing
        assert [limit.most for limit in endpoint_limits.listed(connection, "e")] == [6]
        assert endpoint_limits.forget(connection) == 1
        assert endpoint_limits.learned(connection, "e", "m").images is None


def test_commands_show_what_was_learned_and_forget_it(own):
    text = "At most 5 image(s) may be provided in one prompt."
    with own.write() as connection:
        endpoint_limits.learn(
            connection, "sandbox", "step-3.7-flash", RequestPart.IMAGES, 5, True, text
        )
    limit = "step-3.7-flash takes at most 5 images in one request"
    sentence = f"{limit} (the endpoint said so: {text})"
    assert sentence in shell.say("account").stdout
    [row] = json.loads(shell.say("account", "--json").stdout)["learned_limits"]
    assert (row["part"], row["most"], row["named"]) == ("images", 5, True)
    assert sentence in " ".join(shell.say("doctor").stdout.split())
    assert shell.say("doctor", "--forget").stdout == "1 learned limit forgotten\n"
    assert json.loads(shell.say("account", "--json").stdout)["learned_limits"] == []
