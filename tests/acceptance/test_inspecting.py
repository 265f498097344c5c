"""User-visible output: the report in a real Chromium, lists, watch and estimates."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from overstory.report.page import page
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.process import SandboxProcess
from tests.support.browser import Browser, Page, find_chromium
from tests.support.command import Endpoint, Person, Ran, parsed
from tests.support.pictures import draw_image
from tests.support.waiting import eventually

pytestmark = pytest.mark.acceptance

HOSTILE = "<img src=x onerror=document.title='owned'>.jpg"
"""Even a file name may contain markup."""
RESULT_KEYS = {"job", "status", "answer", "coverage", "images", "tree", "usage"}


def spoiled(folder: Path) -> Path:
    """Nine images, a duplicate, one with markup as its name, and a file that is not an image."""
    for n in range(8):
        draw_image(folder / f"{n:04}.jpg", n)
    (folder / HOSTILE).write_bytes((folder / "0003.jpg").read_bytes() + b" ")
    (folder / "twin.jpg").write_bytes((folder / "0000.jpg").read_bytes())
    (folder / "text.jpg").write_text("this is a text")
    return folder


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, _sandbox: SandboxProcess) -> Iterator[Person]:
    """A user with an answered job and its report; tests only read them."""
    folder = tmp_path_factory.mktemp("reader")
    _sandbox.configure(**SandboxConfig().model_dump(mode="json"))
    person = Person(
        folder / "home",
        folder,
        OVERSTORY_API_KEY="key-reader",
        OVERSTORY_BASE_URL=_sandbox.base_url,
        OVERSTORY_TIER="V0",
        OVERSTORY_IMAGES_PER_REQUEST="3",
    )
    yield person
    person.clean_up()


@pytest.fixture(scope="module")
def answered(reader: Person) -> dict[str, Any]:
    """The result: a tree of leaves, a duplicate, and one failed image."""
    words = ("--json", "--label", "trip", "--report", "out.html")
    ran = reader.run(spoiled(reader.folder / "photos"), *words)
    assert ran.status == 3, ran.err
    return ran.result


@pytest.fixture
def report(reader: Person, answered: dict[str, Any]) -> str:
    """The address of its report."""
    return (reader.folder / "out.html").as_uri()


def with_answer(reader: Person, blocks: list[Any], path: Path) -> str:
    """The address of its report, with another answer."""
    island = re.search(r'id="data">(.*?)</script>', (reader.folder / "out.html").read_text(), re.S)
    assert island is not None
    path.write_text(page(json.loads(island[1]) | {"answer": blocks}))
    return path.as_uri()


# --- the report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium, or set CHROMIUM to one")
    with Browser(program) as browser:
        yield browser


def shown(page: Page, selector: str) -> bool:
    return bool(page.js(f"!!document.querySelector({json.dumps(selector)})?.checkVisibility()"))


def text(page: Page, selector: str) -> str:
    return str(page.js(f"document.querySelector({json.dumps(selector)}).textContent"))


def pixels(page: Page, selector: str) -> int:
    """The width of a decoded picture; 0 if there is none."""
    return int(
        page.js(
            f"(async () => {{ const e = document.querySelector({json.dumps(selector)});"
            " if (!e) return 0; await e.decode(); return e.naturalWidth; })()"
        )
    )


def test_a_citation_leads_to_its_image_and_its_notes(browser: Browser, report: str, tmp_path: Path):
    with browser.page(report) as page:
        assert page.js("document.documentElement.dataset.ready") == "yes"
        assert text(page, "h1").startswith("Which colours")
        cite = "#answer-text button[data-n]"
        number = page.js(f"document.querySelector('{cite}').dataset.n")
        page.hover(cite)
        assert text(page, "#evidence b") == number
        assert pixels(page, "#evidence img") > 0
        page.click(cite)
        assert text(page, "#viewer-title").startswith(f"Image {number}")
        assert pixels(page, "#viewer .big img") > 0
        assert text(page, "#viewer .note")
        page.screenshot(tmp_path / "viewer.png")
        page.press("ArrowRight")
        assert page.js("document.querySelector('#viewer').open")
        page.press("Escape")
        assert not shown(page, "#viewer")
        assert page.js(f"document.activeElement === document.querySelector('{cite}')")
        page.click("#unfold")
        assert page.js("document.querySelectorAll('#tree .row').length") == 10
        page.screenshot(tmp_path / "report.png", whole=True)
        assert page.fetched() == [report]
        assert page.complaints() == []


def test_nothing_in_a_name_becomes_markup(browser: Browser, report: str, tmp_path: Path):
    with browser.page(report) as page:
        page.click("#unfold")
        assert HOSTILE in text(page, "#tree")
        assert "owned" not in page.js("document.title")
        assert (
            page.js("document.querySelectorAll('img:not([src^=\"data:image/jpeg\"])').length") == 0
        )
        assert page.complaints() == []


def test_failed_images_and_duplicates_are_shown_and_can_be_filtered(
    browser: Browser, report: str, tmp_path: Path
):
    with browser.page(report) as page:
        assert "text.jpg" in text(page, "#failed")
        assert "not an image format" in text(page, "#failed")
        assert text(page, "#found") == "11 images"
        page.click('#chips [data-name="failed"]')
        assert text(page, "#found") == "1 of 11 images"
        page.click('#chips [data-name="all"]')
        page.click("#search")
        page.type("twin")
        assert text(page, "#found") == "1 of 11 images"
        page.click("#grid .tile")
        assert "Same as" in text(page, "#viewer")
        assert pixels(page, "#viewer .big img") > 0


def test_a_report_is_told_apart_and_a_few_tab_stops_lead_to_its_search(
    browser: Browser, report: str, tmp_path: Path
):
    with browser.page(report) as page:
        title = page.js("document.title")
        assert title.startswith("trip · 11 images · ")
        stops = (
            "[...document.querySelectorAll('a[href], button, input')]"
            ".filter((e) => e.tabIndex >= 0 && e.checkVisibility())"
        )
        assert 5 < page.js(f"{stops}.indexOf(document.querySelector('#search'))") < 20
        cites = "[...document.querySelectorAll('#answer-text button[data-n]')]"
        assert page.js(f"{cites}.filter((e) => e.tabIndex === 0).length") == 1
        page.js(f"{cites}[0].focus()")
        page.press("ArrowRight")
        assert page.js(f"document.activeElement === {cites}[1]")
        assert page.js(f"{cites}.filter((e) => e.tabIndex === 0).length") == 1


def test_a_printed_report_has_its_numbers_and_keeps_its_tree_folded(
    browser: Browser, reader: Person, answered: dict[str, Any], tmp_path: Path
):
    url = with_answer(reader, [["p", ["Blue: ", ["c", [[1, 9], [11, 11]]]]]], tmp_path / "p.html")
    with browser.page(url) as shown_page:
        rows = "document.querySelectorAll('#tree .row').length"
        numbers = "#answer-text .printed"
        before = shown_page.js(rows)
        assert not shown(shown_page, numbers)
        shown_page.js("dispatchEvent(new Event('beforeprint'))")
        shown_page.call("Emulation.setEmulatedMedia", media="print")
        assert shown_page.js(rows) == before
        assert shown(shown_page, numbers)
        assert text(shown_page, numbers) == "[1-9, 11]"


def test_the_table_of_answers_is_sorted_filtered_and_saved(
    browser: Browser, reader: Person, answered: dict[str, Any], tmp_path: Path
):
    rows = [[1, 3, "=1+2"], [2, 12.5, "a, b"], [4, -7, "c"], [5, None, None]]
    url = with_answer(reader, [["answers", ["total", "vendor"], rows]], tmp_path / "a.html")
    with browser.page(url, 375, 800) as shown_page:
        js = shown_page.js
        body = "[...document.querySelectorAll('.answers tbody tr')]"
        totals = f"{body}.map((row) => row.cells[1].textContent)"
        assert js(totals) == ["3", "12.5", "-7", "–"]
        shown_page.click(".answers th:nth-child(2) button")
        assert js(totals) == ["-7", "3", "12.5", "–"]
        shown_page.click(".answers th:nth-child(2) button")
        assert js(totals) == ["12.5", "3", "-7", "–"]
        shown_page.click(".table-tools input")
        shown_page.type("=1")
        assert js(totals) == ["3"]
        assert text(shown_page, ".table-tools .found") == "1 of 4 answers"
        js("URL.createObjectURL = (blob) => { window.saved = blob.text(); return 'blob:none'; }")
        js("HTMLAnchorElement.prototype.click = () => {}")
        shown_page.click(".table-tools button")
        head, row = js("window.saved").lstrip("\ufeff").splitlines()
        assert head == "image,name,total,vendor"
        assert row == "1,0000.jpg,3,'=1+2"
        assert js("document.documentElement.scrollWidth") <= 375
        assert shown_page.complaints() == []


def test_the_report_works_with_the_keyboard_only(browser: Browser, report: str, tmp_path: Path):
    with browser.page(report) as page:
        page.press("Tab")
        assert page.js("document.activeElement.className") == "skip"
        page.js("document.querySelector('#theme').focus()")
        page.press("Tab")
        assert page.js("document.activeElement.closest('#answer') !== null")
        page.press("Enter")
        assert page.js("document.querySelector('#viewer').open")
        assert page.js("document.querySelector('#viewer').contains(document.activeElement)")
        page.press("Escape")
        assert page.js("document.activeElement.closest('#answer') !== null")


def test_every_control_has_a_name(browser: Browser, report: str, tmp_path: Path):
    with browser.page(report) as page:
        page.click("#unfold")
        page.call("Accessibility.enable")
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        seen = [node for node in nodes if not node.get("ignored")]
        roles = {node["role"]["value"] for node in seen}
        assert {"banner", "main", "navigation", "contentinfo", "heading", "search"} <= roles
        named = ("button", "link", "searchbox", "image", "dialog")
        nameless = [
            node
            for node in seen
            if node["role"]["value"] in named and not node.get("name", {}).get("value")
        ]
        assert nameless == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_modes_have_contrast_on_phone_and_desktop(
    browser: Browser, report: str, tmp_path: Path, scheme: str
):
    for width in (360, 1280):
        with browser.page(report, width, 800, scheme) as page:
            page.click("#unfold")
            page.screenshot(tmp_path / f"{scheme}-{width}.png", whole=True)
            assert page.js("document.documentElement.scrollWidth") <= width
            for selector in ("h1", ".facts small", ".lead", ".tree .meta", ".says", "footer"):
                assert contrast(page, selector) >= 4.5, (selector, scheme)


def contrast(page: Page, selector: str) -> float:
    """WCAG contrast of a text and the page behind it."""
    found = page.js(
        f"[getComputedStyle(document.querySelector({json.dumps(selector)})).color,"
        " getComputedStyle(document.body).backgroundColor]"
    )
    light, dark = sorted((luminance(colour) for colour in found), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_chosen_colour_mode_overrides_the_system(browser: Browser, report: str, tmp_path: Path):
    with browser.page(report) as page:
        background = "getComputedStyle(document.body).backgroundColor"
        before = page.js(background)
        page.click("#theme")
        assert page.js(background) != before
        page.click("#theme")
        assert page.js(background) == before
        assert page.js("document.documentElement.dataset.theme") == "light"


def test_five_thousand_images_are_rendered_in_steps(browser: Browser, tmp_path: Path):
    path = tmp_path / "large.html"
    path.write_text(page(large(5_000)), encoding="utf-8")
    with browser.page(path.as_uri()) as opened:
        assert text(opened, "#found") == "5,000 images"
        assert opened.js("document.querySelectorAll('img').length") < 400
        assert opened.js("performance.getEntriesByType('navigation')[0].loadEventEnd") < 10_000
        opened.js("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
        opened.drawn()
        opened.drawn()
        assert opened.js(
            "[...document.querySelectorAll('.tile')].some(t => t.textContent.includes('5000'))"
        )
        assert opened.js("document.querySelectorAll('.tile').length") < 1_000
        opened.js("document.querySelector('#search').focus()")
        opened.type("note-4321")
        assert text(opened, "#found") == "1 of 5,000 images"
        assert opened.complaints() == []


def test_images_without_a_line_are_counted_and_can_be_filtered(browser: Browser, tmp_path: Path):
    data = large(3_000)
    data["images"][5] |= {"status": "failed", "code": "unseen", "error": "no line", "seen": None}
    data["statuses"] = {"included": 2_999, "failed": 1}
    path = tmp_path / "proofs.html"
    path.write_text(page(data), encoding="utf-8")
    with browser.page(path.as_uri()) as opened:
        proof = text(opened, "#coverage-proof")
        assert "2,997 are proven by a line of their own, 3 were only sent" in proof
        opened.click("#coverage-proof button")
        assert text(opened, "#found") == "4 of 3,000 images"
        assert opened.js("document.querySelector('#chips [aria-pressed=true]').textContent") == (
            "without a line"
        )
        opened.js("document.querySelector('#images').scrollIntoView({behavior: 'instant'})")
        opened.drawn()
        opened.drawn()
        opened.click("#grid .tile")
        assert "no line" in text(opened, "#viewer")
        opened.press("ArrowRight")
        assert "nothing shows that the model saw it" in text(opened, "#viewer")
        assert opened.complaints() == []


def test_a_page_of_a_large_report_says_what_it_shows_and_leads_to_the_others(
    browser: Browser, tmp_path: Path
):
    files = ["all of it.html", "all of it-2.html", "all of it-3.html"]
    for number, name in enumerate(files, start=1):
        data = large(50)
        last = {"first": 50 * number - 49, "last": 50 * number, "of": 150}
        data["page"] = {"number": number, "count": 3, **last, "files": files}
        (tmp_path / name).write_text(page(data), encoding="utf-8")
    uris = [(tmp_path / name).as_uri() for name in files]
    said, links = [], []
    for uri in uris:
        with browser.page(uri, 390, 800) as opened:
            said.append(text(opened, "#pages"))
            links.append(opened.js("[...document.querySelectorAll('#pages a')].map(a => a.href)"))
            assert opened.js("document.documentElement.scrollWidth") <= 390
            assert opened.complaints() == []
    assert "Page 1 of 3: images 1 to 50 of 150, and images of other pages that the" in said[0]
    assert said[1].startswith("Page 2 of 3: images 51 to 100 of 150. ")
    assert links == [[uris[1]], [uris[0], uris[0], uris[2]], [uris[0], uris[1]]]


def large(number: int) -> dict[str, Any]:
    """The data of a report on many images that share one picture."""
    tiny = Image.new("RGB", (96, 72), "teal")
    jpeg = save(tiny)
    images = [
        {"n": n, "name": f"{n}.jpg", "status": "included", "note": [f"note-{n}"], "picture": 0,
         "seen": "line" if n % 1_000 else "sent", "node": 1 + (n - 1) // 60}
        for n in range(1, number + 1)
    ]  # fmt: skip
    leaves = -(-number // 60)
    nodes = [node(0, None, "branch", 1, 1, number)]
    nodes += [node(n, 0, "leaf", 0, 60 * n - 59, min(60 * n, number)) for n in range(1, leaves + 1)]
    used = {"requests": 85, "prompt_tokens": 1, "cached_tokens": 0, "completion_tokens": 1}
    return {
        "written_at": 0, "answer": [["p", ["All of them ", ["c", [[1, number]]]]]],
        "cited": [[1, number]], "turns": [],
        "job": {
            "id": "1", "status": "completed", "ended": True, "reason": None, "ask": "?",
            "label": None, "model": "m", "endpoint": "e", "sandbox": False, "detail": "low",
            "created": 0, "seconds": 60.0,
        },
        "coverage": {"submitted": number, "included": number},
        "statuses": {"included": number}, "page": None,
        "seen": {"answer": 0, "line": number - number // 1_000, "sent": number // 1_000},
        "usage": {**used, "cost": 0.1, "currency": "USD"},
        "tree": {"depth": 2, "nodes": leaves + 1, "leaves": leaves},
        "lanes": [], "nodes": nodes, "images": images, "pictures": [jpeg],
    }  # fmt: skip


def node(number: int, parent: int | None, kind: str, level: int, first: int, last: int) -> Any:
    return {
        "id": number, "parent": parent, "kind": kind, "level": level, "first": first, "last": last,
        "status": "done", "text": [], "images": last - first + 1, "refused": 0, "error": None,
        "seconds": 1.0, "requests": 1, "tokens": 1, "cost": 0.001,
    }  # fmt: skip


def save(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "JPEG")
    return base64.b64encode(out.getvalue()).decode()


def test_a_report_can_be_written_later_with_pictures_from_the_sources(
    reader: Person, answered: dict[str, Any]
):
    shutil.rmtree(reader.home / "blobs")
    ran = reader.say("report", answered["job"][:6])
    assert ran.status == 0, ran.err
    path = reader.folder / f"overstory-{answered['job']}.html"
    assert str(path.name) in ran.err
    found = re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert len(json.loads(found[1])["pictures"]) == 8


def test_an_unwritable_report_is_refused_before_anything_is_sent(
    person: Person, endpoint: Endpoint, make_images
):
    ran = person.run(make_images(1), "--report", "nowhere/out.html")
    assert (ran.status, ran.out) == (2, "")
    assert "the folder 'nowhere' does not exist" in ran.err
    assert endpoint.stats()["calls"] == endpoint.stats()["uploads"] == 0


# --- lists


def test_lists_agree_with_the_result(reader: Person, answered: dict[str, Any]):
    job = answered["job"]
    (listed,) = parsed(reader.say("jobs", "--label", "trip", "--json"))
    assert (listed["id"], listed["status"], listed["submitted"]) == (job, "partial", 11)
    assert parsed(reader.say("jobs", "--status", "running", "--json")) == []
    shown = parsed(reader.say("show", job[:5], "--json"))
    assert set(shown) > RESULT_KEYS
    assert {key: shown[key] for key in RESULT_KEYS} == {key: answered[key] for key in RESULT_KEYS}
    nodes = parsed(reader.say("tree", job, "--json"))
    assert len(nodes) == answered["tree"]["nodes"]
    (failed,) = parsed(reader.say("images", job, "--status", "failed", "--json"))
    assert failed["name"] == "text.jpg"
    calls = parsed(reader.say("calls", job, "--json"))
    assert sum(call["prompt_tokens"] for call in calls) == answered["usage"]["prompt_tokens"]
    assert parsed(reader.say("calls", job, "--failed", "--json")) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["jobs"], "partial"),
        (["jobs", "--status", "paused"], "no job matches"),
        (["show", "JOB"], "overstory report"),
        (["tree", "JOB", "--images"], HOSTILE),
        (["images", "JOB"], "same as 1"),
        (["images", "JOB", "--status", "skipped"], "none of the 11 images is skipped"),
        (["calls", "JOB"], "settled"),
        (["calls", "JOB", "--failed"], "no request failed"),
        (["watch", "JOB", "--once"], "look 10/10"),
    ],
)
def test_tables_show_the_jobs(
    reader: Person, answered: dict[str, Any], words: list[str], told: str
):
    ran = reader.say(*[answered["job"] if word == "JOB" else word for word in words])
    assert ran.status == 0, ran.err
    assert told in ran.out + ran.err


@pytest.mark.parametrize("command", ["show", "tree", "images", "calls", "watch", "report"])
def test_an_unknown_job_gives_one_sentence(
    reader: Person, answered: dict[str, Any], stranger: Person, command: str
):
    ran = reader.say(command, "zz")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.strip() == "overstory: there is no job 'zz': 'overstory jobs' lists them"
    ran = stranger.say(command, "zz")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.strip() == "overstory: there is no job yet: 'overstory run' starts one"


def test_an_empty_state_folder_shows_how_to_start(stranger: Person):
    assert "overstory run" in stranger.say("jobs").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_jobs(
    reader: Person, answered: dict[str, Any], shell: str
):
    assert "_OVERSTORY_COMPLETE" in reader.say("completion", shell).out
    words = f"overstory show {answered['job'][:3]}"
    typed = {"_OVERSTORY_COMPLETE": "bash_complete", "COMP_CWORD": "2", "COMP_WORDS": words}
    asking = Person(reader.home, reader.folder, **reader.settings, **typed)
    assert f"plain,{answered['job']}" in asking.say().out


# --- watching


def test_a_job_served_elsewhere_is_watched_to_its_end(
    person: Person, endpoint: Endpoint, make_images
):
    person.settings |= {"OVERSTORY_CONCURRENCY": "1", "OVERSTORY_IMAGES_PER_REQUEST": "1"}
    endpoint.process.configure(hold=True)
    running = person.start(make_images(3), "--json")
    eventually(endpoint.in_flight)
    (job,) = parsed(person.say("jobs", "--json"))
    assert "paused" in person.say("pause", job["id"]).out
    eventually(lambda: endpoint.in_flight() == 1)
    once = eventually(lambda: once_prepared(person, job["id"]))
    assert once.status == 0
    assert f"job {job['id']} paused: prepare 3/3" in once.err
    assert f"'overstory resume {job['id']}' continues it" in once.err
    endpoint.process.configure(hold=False)
    program = Path(sys.executable).with_name("overstory")
    watching = subprocess.Popen(
        [program, "watch", job["id"]],
        env=person.environment,
        cwd=person.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert person.say("resume", job["id"], "--quiet").status == 0
    watched = person.wait(watching)
    ended = person.wait(running).result
    assert watched.status == 0
    assert watched.out.strip() == ended["answer"]
    assert "3 included" in watched.err


def once_prepared(person: Person, job: str) -> Ran | None:
    """``watch --once`` when all three images of the job are prepared."""
    once = person.say("watch", job, "--once")
    return once if "prepare 3/3" in once.err else None


# --- the price beforehand


def test_prompt_tokens_are_estimated_from_headers_and_output_from_past_calls(
    person: Person, endpoint: Endpoint, tmp_path: Path
):
    endpoint.process.configure(tier="V4")  # so that the test never waits for the TPM window
    person.settings["OVERSTORY_TIER"] = "V4"
    photos = tmp_path / "mixed"
    photos.mkdir()
    for n in range(130):
        size = ((400 + 37 * n) % 2600 + 40, (300 + 91 * n) % 1900 + 40)
        colour = (n * 37 % 256, n * 91 % 256, n * 13 % 256)
        Image.new("RGB", size, colour).save(photos / f"{n:03}.jpg", quality=60)
    (photos / "twin.jpg").write_bytes((photos / "000.jpg").read_bytes())
    (photos / "text.jpg").write_text("this is a text")
    words = ["--ask", "Which colours are there?", "--json"]
    guess = parsed(person.say("estimate", photos, *words))
    assert endpoint.stats()["calls"] == endpoint.stats()["uploads"] == 0
    ran = person.run(photos, "--json", ask="Which colours are there?")
    bill = ran.result["usage"]
    assert guess["requests"] == bill["requests"]
    assert guess["tree"] == ran.result["tree"]
    assert (guess["images"], guess["usable"], guess["duplicate"]) == (132, 130, 1)
    assert [each["name"] for each in guess["unusable"]] == ["text.jpg"]
    assert guess["prompt_tokens"] == pytest.approx(bill["prompt_tokens"], rel=0.05)
    assert guess["cost"] == pytest.approx(bill["cost"], rel=0.2)
    whole, quarter, alone = guess["packs"]
    assert {name: guess[name] for name in whole} | {"pack": 60} == whole
    assert [row["pack"] for row in guess["packs"]] == [60, 15, 1]
    packed = parsed(person.say("estimate", photos, *words, "--pack", 15))
    assert packed["packs"][1] == {name: packed[name] for name in quarter}
    assert packed["requests"] == quarter["requests"]
    assert alone["requests"] > 130
    assert whole["cost"] < quarter["cost"] < alone["cost"]
    again = parsed(person.say("estimate", photos, *words))
    assert again["past_calls"] == bill["requests"]
    assert again["cost"] == pytest.approx(bill["cost"], rel=0.05)


def test_an_estimate_is_a_sentence_and_sends_nothing(
    person: Person, endpoint: Endpoint, tmp_path: Path
):
    ran = person.say("estimate", spoiled(tmp_path / "photos"), "--ask", "What is there?")
    assert ran.status == 0, ran.err
    for words in (
        "9 usable",
        "1 duplicate at no cost",
        "1 unusable",
        "USD",
        "held by",
        "text.jpg: ",
        "2 images a request at most would take",
    ):
        assert words in ran.out
    assert endpoint.stats()["calls"] == endpoint.stats()["uploads"] == 0


# --- custom prompts


def test_edited_prompts_are_sent_and_make_another_job(person: Person, endpoint: Endpoint) -> None:
    photos = person.folder / "photos"
    for n in range(3):
        draw_image(photos / f"{n}.jpg", n)
    texts = person.folder / "texts"
    assert person.say("prompts", "--out", texts).status == 0
    assert person.say("prompts", "--out", texts).status == 2
    plain = person.run(photos, "--json").result
    same = person.run(photos, "--json", "--prompts", texts).result
    assert same["job"] == plain["job"]
    with (texts / "direct.txt").open("a") as direct:
        direct.write("Is anything teal?")
    mine = person.run(photos, "--json", "--prompts", texts).result
    assert mine["job"] != plain["job"]
    assert mine["status"] == "completed"
    assert endpoint.stats()["distinct_paid"] == endpoint.stats()["paid"] == 2
    assert person.run(photos, "--json", "--prompts", texts).result["job"] == mine["job"]
    (texts / "leaf.txt").write_text("Look.")
    refused = person.run(photos, "--prompts", texts)
    assert refused.status == 2
    assert "leaf.txt lacks the placeholder $these" in refused.err
