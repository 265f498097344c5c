"""Continuing from an answered job: changed sets and further questions."""

from __future__ import annotations

import json
import signal

import pytest

from core.text.citations import cited_numbers
from tests.support.command import ASK, Endpoint, Person
from tests.support.pictures import draw_image
from tests.support.waiting import eventually

pytestmark = pytest.mark.acceptance

SECOND = "And which one is the brightest?"


def done(ran) -> dict:
    assert ran.status == 0, ran.err
    return ran.result


def test_one_added_image_costs_its_leaf_and_the_root(
    person: Person, endpoint: Endpoint, make_images
):
    photos = make_images(130)
    done(person.run(photos, "--json"))
    draw_image(photos / "0064b.jpg", 900)  # in the middle of the second leaf
    grown = done(person.run(photos, "--json"))
    assert grown["coverage"]["included"] == 131
    assert grown["usage"]["requests"] == 2
    assert endpoint.image_counts() == [44, 44, 43, 43, 0, 0]
    assert grown["images"][65]["name"] == "0064b.jpg"
    assert set(cited_numbers(grown["answer"])) <= set(range(1, 132))
    assert done(person.run(photos, "--json")) == grown
    assert endpoint.stats()["calls"] == 6


def test_images_can_be_added_to_and_removed_from_a_job(
    person: Person, endpoint: Endpoint, make_images
):
    job = done(person.run(make_images(130), "--json"))["job"]
    more = draw_image(person.folder / "more" / "new.png", 901)
    (more.parent / "notes.txt").write_text("no image")
    said = person.say("add", job, more.parent, "--json")
    assert "skipped 1 file that is not an image (notes.txt)" in said.err
    added = done(said)
    assert added["coverage"]["included"] == 131
    assert added["usage"]["requests"] == 2
    assert added["images"][130]["name"] == "new.png"
    assert done(person.say("add", job, more, "--json")) == added  # already in the set
    less = done(person.say("remove", added["job"], "1", "3-4", "--json"))
    assert less["coverage"]["submitted"] == 128
    assert less["usage"]["requests"] == 2
    assert less["images"][0]["name"] == "0001.jpg"
    assert endpoint.stats()["calls"] == 8
    stale = person.say("remove", job, "1")
    assert stale.status == 2
    assert less["job"] in stale.err


IMPOSSIBLE = [
    (["remove", "{job}", "99"], "no image at position 99"),
    (["remove", "{job}", "1-3"], "all images"),
    (["remove", "{job}", "one"], "is not a position"),
    (["add", "{job}", "nowhere.jpg"], "does not exist"),
    (["add", "nojob", "."], "there is no job"),
]


def test_an_impossible_change_is_refused_with_a_reason(person: Person, make_images):
    job = done(person.run(make_images(3), "--json"))["job"]
    for words, said in IMPOSSIBLE:
        ran = person.say(*(word.format(job=job) for word in words))
        assert ran.status == 2, words
        assert said in ran.err, words


def test_a_second_question_repeats_the_prefix_and_uploads_nothing(
    person: Person, endpoint: Endpoint, make_images
):
    first = done(person.run(make_images(60), "--keep-files", "--json"))
    second = done(person.say("ask", first["job"], SECOND, "--json"))
    seen = endpoint.stats()
    assert seen["uploads"] == 60
    assert endpoint.image_counts() == [60, 60]
    assert second["usage"]["requests"] == 1
    # the sandbox caches full blocks of 256 tokens: all of the first request but its last block
    assert second["usage"]["cached_tokens"] > first["usage"]["prompt_tokens"] - 256
    assert done(person.say("ask", first["job"], SECOND, "--json")) == second
    third = done(person.say("ask", first["job"], "And the darkest?", "--json"))
    assert third["usage"]["cached_tokens"] > second["usage"]["prompt_tokens"] - 256
    assert endpoint.stats()["calls"] == 3
    assert endpoint.stats()["uploads"] == 60


def test_a_large_set_is_answered_from_notes_or_with_look_from_its_images(
    person: Person, endpoint: Endpoint, make_images
):
    job = done(person.run(make_images(130), "--json"))["job"]
    notes = done(person.say("ask", job, SECOND, "--json"))
    assert notes["usage"]["requests"] == 1
    assert endpoint.image_counts() == [44, 43, 43, 0, 0]
    said = person.say("ask", job, SECOND, "--look", "--json")
    looked = done(said)
    shown = set(cited_numbers(notes["answer"]))
    leaves = [range(1, 45), range(45, 88), range(88, 131)]
    again = [len(leaf) for leaf in leaves if any(n in shown for n in leaf)]
    assert looked["job"] != notes["job"]
    assert endpoint.image_counts()[: 3 + len(again)] == sorted([44, 43, 43, *again], reverse=True)
    assert "over 130 images" in said.err or len(again) < 3  # the price is shown first
    paid = endpoint.stats()["calls"]
    for _ in range(2):
        assert done(person.say("ask", job, SECOND, "--look", "--json")) == looked
    assert endpoint.stats()["calls"] == paid
    assert len(done(person.say("jobs", "--json"))) == 3


def test_every_question_is_in_the_report(person: Person, make_images):
    job = done(person.run(make_images(3), "--json"))["job"]
    done(person.say("ask", job, SECOND, "--json"))
    assert person.say("report", job, "--out", "out.html").status == 0
    assert SECOND in (person.folder / "out.html").read_text("utf-8")


def test_a_watched_folder_is_answered_again_when_it_changes(
    person: Person, endpoint: Endpoint, make_images
):
    photos = make_images(3)
    watching = person.begin("watch-folder", photos, "--ask", ASK, "--every", "0.3", "--json", "-q")
    first = json.loads(watching.stdout.readline())
    assert first["coverage"]["included"] == 3
    draw_image(photos / "later.jpg", 902)
    second = json.loads(watching.stdout.readline())
    assert second["coverage"]["included"] == 4
    watching.send_signal(signal.SIGINT)
    assert person.wait(watching).status == 130
    assert endpoint.stats()["calls"] == 2
    eventually(lambda: not person.processes())


def test_a_watched_folder_takes_a_schema_a_report_and_a_budget_of_a_month(
    person: Person, endpoint: Endpoint, make_images
):
    photos = make_images(2)
    (person.folder / "s.json").write_text(
        '{"type": "object", "properties": {"n": {"type": "integer"}}}'
    )
    words = ("watch-folder", photos, "--each", "How many?", "--schema", "s.json", "--every", "0.3")
    words += ("--report", "report.html", "--json", "-q", "--budget")
    watching = person.begin(*words, "0.0001/month")
    first = json.loads(watching.stdout.readline())
    assert (first["status"], first["usage"]["requests"]) == ("paused", 0)
    assert "goes on after" in first["reason"]
    watching.send_signal(signal.SIGINT)
    assert person.wait(watching).status == 130
    watching = person.begin(*words, "1/month")  # raised by a restart: the same job goes on
    second = json.loads(watching.stdout.readline())
    assert (second["job"], second["status"]) == (first["job"], "completed")
    assert [image["answer"] is not None for image in second["images"]] == [True, True]
    draw_image(photos / "later.jpg", 903)
    third = json.loads(watching.stdout.readline())
    assert (third["status"], third["coverage"]["included"]) == ("completed", 3)
    eventually(lambda: "later.jpg" in (person.folder / "report.html").read_text("utf-8"))
    watching.send_signal(signal.SIGINT)
    assert person.wait(watching).status == 130


def test_a_questions_price_uses_the_custom_price_list(person: Person, make_images):
    job = done(person.run(make_images(2), "--json"))["job"]
    dear = {"as_of": "2026-11-20", "models": {"step-3.7-flash": {"prompt": 9e3, "completion": 9e3}}}
    person.settings["OVERSTORY_PRICES"] = json.dumps(dear)
    refused = person.say("ask", job, SECOND)
    assert refused.status == 2
    (told,) = [line for line in refused.err.splitlines() if "1 request over 2 images" in line]
    assert float(told.partition(": about ")[2].split()[0]) > 5.0
    assert "--yes" in refused.err
