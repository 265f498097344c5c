"""The body of a chat completion, parsed as it arrives."""

from __future__ import annotations

import base64
import hashlib
import json
from types import SimpleNamespace
from typing import Any

import pytest

from overstory.api.chat import body as body_module
from overstory.api.chat.body import Body
from overstory.api.chat.inline import Inline
from overstory.api.openai_errors import Refusal

IMAGE = bytes(range(256)) * 20
BASE64 = base64.b64encode(IMAGE).decode()
URL = f"data:image/jpeg;base64,{BASE64}"


class Kept:
    """Uploads in memory. ``peak``: the most bytes that one ``write`` was given."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.aborted = 0
        self.peak = 0

    def begin(self) -> Any:
        data = bytearray()

        def write(piece: bytes) -> None:
            self.peak = max(self.peak, len(piece))
            data.extend(piece)

        def finish() -> Any:
            self.contents.append(bytes(data))
            return SimpleNamespace(sha256=hashlib.sha256(data).hexdigest())

        def abort() -> None:
            self.aborted += 1

        return SimpleNamespace(write=write, finish=finish, abort=abort)


def read(
    raw: bytes, kept: Kept | None = None, step: int = 65_536, images: int = 100, most: int = 10**9
) -> Any:
    body = Body((kept or Kept()).begin, images, most)
    try:
        for at in range(0, len(raw), step):
            body.feed(raw[at : at + step])
        return body.end()
    except Refusal:
        body.abort()
        raise


def asking(*urls: object, more: str = "") -> bytes:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return json.dumps({"messages": [{"role": "user", "content": parts}], "more": more}).encode()


def refused(raw: bytes, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(raw, **options)
    return caught.value


@pytest.mark.parametrize("step", [1, 7, 1_000, 65_536])
def test_images_go_to_the_uploads_in_their_order(step: int) -> None:
    kept = Kept()
    second = base64.b64encode(b"second").decode()
    raw = asking(URL, "https://host/a.jpg", f"DATA:IMAGE/PNG;x=y;base64,{second}")
    content = read(raw, kept, step)["messages"][0]["content"]
    assert kept.contents == [IMAGE, b"second"]
    found = [part["image_url"]["url"] for part in content]
    sha = [hashlib.sha256(data).hexdigest() for data in kept.contents]
    assert found == [
        Inline(sha[0], "image-0001.jpg"),
        "https://host/a.jpg",
        Inline(sha[1], "image-0002.png"),
    ]
    assert found[0].input == f"upload:{sha[0]}/image-0001.jpg"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": URL},
        {"file": {"file_data": URL}},
        {"image_url": {"detail": "low", "url": URL}, "type": "image_url"},
    ],
)
def test_every_place_of_an_image_is_known(part: dict[str, Any]) -> None:
    kept = Kept()
    read(json.dumps({"messages": [{"content": "x"}, {"content": [part]}]}).encode(), kept)
    assert kept.contents == [IMAGE]


def test_pieces_of_any_size_are_the_same() -> None:
    """A head, an escape and a group of base64 are cut at every place."""
    raw = asking(f"data:image/jpeg;base64,{BASE64[:120]}", more='\\"data:x/y;base64,AAAA')
    raw = raw.replace(b"/", b"\\/")
    whole = read(raw)
    assert whole["more"] == '\\"data:x/y;base64,AAAA'
    for step in range(1, 60):
        assert read(raw, step=step) == whole


@pytest.mark.parametrize("end", ["", '"', "AA"])
def test_a_body_that_ends_inside_an_image_leaves_nothing(end: str) -> None:
    kept = Kept()
    raw = asking(URL)
    refused(raw[: raw.index(BASE64[:20].encode()) + 21] + end.encode(), kept=kept)
    assert kept.contents == []
    assert kept.aborted == 1


def test_a_key_is_not_an_image() -> None:
    part = {"image_url": {"url": "https://host/a.jpg", URL: 1}}
    error = refused(json.dumps({"messages": [{"content": [part]}]}).encode())
    assert "a key of messages[0].content[0].image_url is a data URL" in str(error)


def test_a_data_url_elsewhere_is_a_text() -> None:
    kept = Kept()
    raw = json.dumps({"user": URL, "messages": [{"content": [{"type": "text", "text": URL}]}]})
    assert read(raw.encode(), kept) == json.loads(raw)
    assert kept.contents == []


def test_escaped_slashes_and_line_breaks_are_base64() -> None:
    data = b"\xff\xef\xfe" * 40
    text = base64.encodebytes(data).decode()
    assert "/" in text
    kept = Kept()
    raw = asking(f"data:image/png;base64,{text}").replace(b"/", b"\\/")
    read(raw, kept)
    assert kept.contents == [data]


def test_a_large_image_is_written_in_pieces() -> None:
    kept = Kept()
    data = IMAGE * 1_000
    read(asking("data:image/png;base64," + base64.b64encode(data).decode()), kept)
    assert kept.contents == [data]
    assert kept.peak <= 65_536


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64,@@@@", "is broken base64"),
        ("data:image/png;base64,AAA", "is broken base64"),
        ("data:image/png;base64,AA==AAAA", "is broken base64"),
        ("data:image/png;base64," + "A" * 100_002 + "==" + "A" * 100_000, "is broken base64"),
        ("data:image/png;base64,AA\\", "is broken base64"),
        ("data:image/png;base64,AAé=", "is broken base64"),
        ("data:image/png,AAAA", "is not like data:image/jpeg"),
        ("data:image/png", "is not like data:image/jpeg"),
        ("data:text/html;base64,AAAA", "says text/html"),
        ("data:;base64,AAAA", "says no type"),
    ],
)
def test_a_broken_image_names_its_part(url: str, says: str) -> None:
    kept = Kept()
    error = refused(asking(*[URL] * 17, url), kept=kept)
    assert says in str(error)
    assert error.param == "messages[0].content[17]"
    assert error.status == 400
    assert len(kept.contents) == 17


def test_a_failed_write_aborts_the_upload() -> None:
    kept = Kept()
    refused(asking("data:image/png;base64,@@@@"), kept=kept)
    assert kept.aborted == 1


def test_an_image_that_is_too_large_names_its_part() -> None:
    error = refused(asking(URL, f"{URL[:-4]}AAAA{BASE64}"), most=len(IMAGE))
    assert (error.status, error.param) == (413, "messages[0].content[1]")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": 1}x', "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": "\xff"}', "invalid bytes in UTF8"),
        (b'{"a": 1' + b"0" * 5_000 + b"}", "not valid JSON"),
        (b'{"a": 1e999999}', "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'"data:image/png;base64,AAAA"', "not a JSON object"),
        (b'{"a": 1, "b": {}, "a": 2}', "'a' is there twice"),
        (b'{"messages": [{"content": [{"type": 1, "type": 2', "in messages[0].content[0]"),
        (b"[" * 1_000, "nested deeper than"),
        (b'{"a":' * 1_000, "nested deeper than"),
    ],
)
def test_what_is_no_request_is_refused(raw: bytes, says: str) -> None:
    error = refused(raw)
    assert says in str(error)
    assert error.status == 400


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"messages": [{"content": [' + b"{}," * 200_000, "too many values"),
        (b'{"a": "' + b"x" * 1_000_001 + b'"}', "too many characters"),
        (b'{"a": "' + b"x" * 2_000_000, "a value of the request has more than"),
        (b" " * 2_000_000, "a value of the request has more than"),
    ],
    ids=["values", "characters", "text", "space"],
)
def test_what_is_too_much_is_refused(
    raw: bytes, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_module, "CHARACTERS_MAX", 1_000_000)
    error = refused(raw)
    assert says in str(error)
    assert error.status == 413


def test_a_body_of_unknown_length_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BYTES_OF_ALL_MAX", 10_000)
    assert refused(asking(URL, URL)).status == 413
