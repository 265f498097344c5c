"""Documents behind URLs: all their pages are in the job, and each is downloaded once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from sqlalchemy import text

from clients import guarded_http
from clients.images.decoder import Decoder
from clients.sources import documents
from clients.sources.documents import Documents, documents_among
from clients.sources.download import FetchRules
from clients.sources.location import Source
from core.errors import ImageRefused, RefusalCode
from core.images.sizing import DecoderLimits, ImageLimits
from core.jobs import JobSpec
from core.states import JobStatus
from core.tree.capacity import NOTHING_LEARNED
from overstory.forecasting import context_of, measure
from tasks import followups
from tasks import submit as submitting
from tests.support.account import on_one_database
from tests.support.corpus import pdf_of
from tests.support.waiting import eventually
from tests.support.web_server import Server, gives

PAGE = "/MediaBox [0 0 200 300]"
JPEG = b"\xff\xd8\xff\xe0" + bytes(200_000)


@pytest.fixture
def kept(tmp_path: Path) -> Documents:
    rules = FetchRules(allow_private=True, max_bytes=100_000)
    limits = ImageLimits(max_pages=9, max_file_bytes=100_000)
    return Documents(tmp_path / "home" / "documents", rules, limits, Decoder(DecoderLimits()))


@pytest.fixture
def hung(server: Server) -> Iterator[str]:
    """A URL that answers when the test is over."""
    over = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        over.wait()
        request.close_connection = True

    server.answers["/hung.pdf"] = answer
    yield server.url("/hung.pdf")
    over.set()


def asked(server: Server) -> list[str]:
    return [path for path, _ in server.seen]


def test_all_pages_take_the_place_of_their_document(server: Server, kept: Documents) -> None:
    server.answers |= {
        "/three.pdf": gives(pdf_of(PAGE, pages=3)),
        "/paper/17": gives(pdf_of(PAGE)),
        "/photo/18": gives(JPEG),
        "/really.pdf": gives(JPEG),
        "/locked.pdf": gives(pdf_of(PAGE, locked=True)),
        "/long.pdf": gives(pdf_of(PAGE, pages=10)),
    }
    paths = ["/a.jpg", "/three.pdf", "/photo/18", "/paper/17", "/gone.pdf", "/really.pdf"]
    paths += ["/locked.pdf", "/long.pdf", "/three.pdf"]
    found = kept.with_pages([Source(path, server.url(path)) for path in paths])
    assert [(source.name, source.page) for source in found] == [
        ("/a.jpg", None),
        *[(f"/three.pdf[{page}]", page) for page in (1, 2, 3)],
        ("/photo/18", None),
        ("/paper/17[1]", 1),
        ("/gone.pdf", None),
        ("/really.pdf", None),
        ("/locked.pdf", 1),  # it is refused with its reason, like a document of too many pages
        ("/long.pdf", 1),
        *[(f"/three.pdf[{page}]", page) for page in (1, 2, 3)],
    ]
    assert sorted(asked(server)) == sorted({*paths} - {"/a.jpg"})


@pytest.mark.parametrize(
    ("url", "is_looked_into"),
    [
        ("https://a.example/b.PDF?sig=1", True),
        ("https://a.example/get?file=b%20c.tiff", True),
        ("https://a.example/b%2Epdf", True),
        ("https://a.example/1234", True),
        ("https://a.example/b.jpg?of=1234", False),
        ("/inputs/b.pdf", False),
    ],
)
def test_the_name_of_a_url_tells_what_it_is(url: str, is_looked_into: bool) -> None:
    assert documents_among([Source("b", url)]) == [url] * is_looked_into


def test_few_urls_without_a_telling_name_are_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "UNTOLD_MOST", 2)
    urls = [f"https://a.example/{name}" for name in ("1", "2", "3", "4.pdf", "5")]
    looked_into = documents_among([Source(url, url) for url in urls])
    assert looked_into == [urls[0], urls[1], urls[3]]


def test_a_server_that_does_not_answer_holds_no_plan(kept: Documents, hung: str) -> None:
    source = Source("hung.pdf", hung)
    assert kept.with_pages([source], seconds=0.3) == [source]


def test_the_check_ends_the_search(server: Server, kept: Documents, hung: str) -> None:
    class Over(Exception):
        pass

    def check() -> None:
        raise Over

    with pytest.raises(Over):
        kept.with_pages([Source("a", hung)], check)


def test_pages_that_need_a_copy_at_once_download_it_once(server: Server, kept: Documents) -> None:
    server.answers["/a.pdf"] = gives(pdf_of(PAGE))
    copies: list[Path] = []
    threads = [
        threading.Thread(target=lambda: copies.append(kept.copy(server.url("/a.pdf"))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [copy.read_bytes() for copy in copies] == [pdf_of(PAGE)] * 4
    assert asked(server) == ["/a.pdf"]


def test_copies_have_a_bound(
    server: Server, kept: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "KEPT_FILES", 0.025)
    for name in "abc":
        server.answers[f"/{name}.pdf"] = gives(pdf_of(PAGE).ljust(1_000))
    first, second, third = (kept.copy(server.url(f"/{name}.pdf")) for name in "abc")
    assert [copy.exists() for copy in (first, second, third)] == [False, True, True]
    monkeypatch.setattr(documents, "KEPT_SECONDS", -1.0)
    kept.copy(server.url("/c.pdf"))
    assert asked(server)[-1] == "/c.pdf"
    assert not second.exists()


def test_a_failed_download_is_not_tried_for_every_page(
    server: Server, kept: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal() -> ImageRefused:
        with pytest.raises(ImageRefused) as caught:
            kept.copy(server.url("/gone.pdf"))
        return caught.value

    server.answers["/gone.pdf"] = gives(b"", 404)
    first, second = refusal(), refusal()
    assert first.code is second.code is RefusalCode.URL_FAILED
    assert first.reason == second.reason
    assert asked(server) == ["/gone.pdf"]
    monkeypatch.setattr(documents, "REFUSED_SECONDS", 0.0)
    server.answers["/gone.pdf"] = gives(pdf_of(PAGE))
    assert kept.copy(server.url("/gone.pdf")).exists()


@on_one_database
def test_a_job_has_all_pages_and_stays_the_same_without_the_server(
    open_account, make_images, server, monkeypatch
):
    monkeypatch.setattr(guarded_http, "check_address", lambda *_: None)
    server.answers["/three.pdf"] = gives(pdf_of(PAGE, pages=3))
    account = open_account()
    photos = make_images(2)

    def submit(key: str | None, *images: object, **how: bool) -> str:
        spec = JobSpec(images=[str(image) for image in images], ask="What is there?", key=key)
        return submitting.submit(account.services, spec, **how).job_id

    job = submit(None, server.url("/three.pdf"), photos, natural=True)
    [row] = account.ended(job)
    assert (row.status, account.statuses(job)) == (JobStatus.COMPLETED, {"included": 5})
    with account.services.database.read() as connection:
        words = "SELECT page, name FROM images WHERE job_id = :job ORDER BY position"
        pages = [tuple(image) for image in connection.execute(text(words), {"job": job})]
    name = "127.0.0.1/three.pdf"
    assert pages[:3] == [(page, f"{name}[{page}]") for page in (1, 2, 3)]
    named = submit("mine", server.url("/three.pdf"))
    assert asked(server) == ["/three.pdf"] * 2  # once for each plan, and never for a page
    server.answers.clear()
    assert submit(None, server.url("/three.pdf"), photos, natural=True) == job
    assert submit("mine", server.url("/three.pdf")) == named
    account.ended(named)
    more = followups.add(account.services, named, [server.url("/three.pdf"), str(photos)])
    account.ended(more.job_id)
    assert account.statuses(more.job_id) == {"included": 5}
    assert len(asked(server)) == 2
    copies = account.services.settings.home / "documents"
    assert list(copies.iterdir())
    monkeypatch.setattr(documents, "KEPT_SECONDS", -1.0)
    eventually(lambda: not list(copies.iterdir()))


def test_an_estimate_counts_the_pages(server, open_account, monkeypatch):
    monkeypatch.setattr(guarded_http, "check_address", lambda *_: None)
    server.answers["/three.pdf"] = gives(pdf_of(PAGE, pages=3))
    settings = open_account(start=False).services.settings
    spec = JobSpec(images=[server.url("/three.pdf")], ask="What is there?")
    request = context_of(settings, spec, NOTHING_LEARNED)
    measured = measure(settings, spec, request, request)
    assert measured.tokens == [request.tokens_most] * 3
    assert (measured.submitted, measured.urls, measured.work.pages) == (3, 3, 3)
