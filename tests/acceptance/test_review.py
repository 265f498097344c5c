"""A person judges answers on the review page; ``check`` reads the file that it saves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.browser import Browser, Page, find_chromium
from tests.support.command import Endpoint, Person

pytestmark = pytest.mark.acceptance

SHAPE = {
    "type": "object",
    "required": ["colour", "width"],
    "properties": {"colour": {"type": "string"}, "width": {"type": "integer"}},
}


def _key(page: Page, key: str) -> None:
    page.js(f"void dispatchEvent(new KeyboardEvent('keydown', {{key: {json.dumps(key)}}}))")


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium")
def test_what_a_person_judges_is_what_check_reads(
    person: Person, endpoint: Endpoint, make_images: Callable[..., Path], tmp_path: Path
) -> None:
    (person.folder / "shape.json").write_text(json.dumps(SHAPE))
    images = make_images(3)
    assert person.say("run", images, "--each", "Which?", "--schema", "shape.json").status == 0
    file = tmp_path / "review.html"
    assert person.say("review", "last", "--seed", "7", "-o", file).status == 0

    with Browser(find_chromium() or "") as browser:
        browser.call(
            "Browser.setDownloadBehavior",
            behavior="allow", downloadPath=str(tmp_path), eventsEnabled=True,
        )  # fmt: skip
        with browser.page(file.as_uri()) as page:
            _key(page, "y")  # the first image: colour right,
            _key(page, "c")  # width corrected
            page.type("7")
            page.press("Enter")
            _key(page, "n")  # the second: colour wrong,
            _key(page, "ArrowRight")  # its width skipped
        with browser.page(file.as_uri()) as page:  # a closed tab loses nothing
            assert page.js("document.getElementById('share').textContent").startswith("1 of 3")
            _key(page, "y")
            _key(page, "y")
            _key(page, "s")
            browser.until(lambda event: event.get("params", {}).get("state") == "completed")
            assert page.complaints() == []
    [saved] = tmp_path.glob("review-*.jsonl")
    rows = [json.loads(line) for line in saved.read_text().splitlines()]
    assert [row.get("width") for row in rows][:2] == ["7", None]
    assert set(rows[1]["colour"]) == {"not"}

    page_of_mistakes = tmp_path / "report.html"
    checked = person.say(
        "check", "last", "--truth", saved, "--json", "--report", page_of_mistakes
    ).result
    counts = {name: (f["right"], f["of"]) for name, f in checked["fields"].items()}
    assert counts == {"colour": (2, 3), "width": (1, 2)}

    with (
        Browser(find_chromium() or "") as browser,
        browser.page(page_of_mistakes.as_uri()) as page,
    ):
        assert page.js(_texts("#accuracy tbody tr > :nth-child(2)")) == ["2 of 3", "1 of 2"]
        assert set(page.js(_texts("#mistakes .is"))) == {"Truth7", "Truthsomething else"}
        assert page.js("document.querySelectorAll('#mistakes img').length") == 2
        page.js("void document.querySelector('#accuracy-chips [data-field=width]').click()")
        assert page.js(_texts("#mistakes .is")) == ["Truth7"]
        page.js("void document.querySelector('#mistakes button').click()")
        assert page.js("document.getElementById('viewer').open")
        assert page.complaints() == []


def _texts(selector: str) -> str:
    return f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.textContent)"
