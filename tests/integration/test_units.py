"""Jobs by units: one answer for each folder, however its images are packed, refused or divided."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import text

from core.errors import WrongUsage
from core.jobs import parse_spec
from core.settings import load
from models import repair
from models.state import Moved
from overstory.checking import check_job
from overstory.export.units import export_of
from overstory.local.job_runner import planning_services
from overstory.sandbox.process import SandboxProcess
from overstory.truth_file import read_truth
from tasks import followups, submit
from tests.support.account import Account, on_one_database
from tests.support.waiting import eventually

OpenAccount = Callable[..., Account]
COLOURS = {
    "red": (220, 30, 30),
    "blue": (30, 40, 220),
    "green": (30, 160, 40),
    "pink": (250, 60, 190),
    "black": (10, 10, 10),
    "teal": (20, 160, 160),
    "white": (250, 250, 250),
    "purple": (120, 40, 200),
}
SHAPE = {
    "type": "object",
    "properties": {"colour": {"enum": sorted(COLOURS)}, "photo_count": {"type": "integer"}},
    "required": ["colour", "photo_count"],
    "additionalProperties": False,
}
EACH = "Which colour is it?"


def paint(path: Path, colour: str, number: int) -> Path:
    """A picture of one colour whose size tells it from the others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40 + number, 60), COLOURS[colour]).save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[Sequence[int]], Path]:
    """``folders([2, 5])``: a folder with one of two red pictures and one of five blue ones."""

    def make(sizes: Sequence[int]) -> Path:
        for unit, (colour, size) in enumerate(zip(COLOURS, sizes, strict=False)):
            for number in range(size):
                paint(tmp_path / "all" / f"{unit} {colour}" / f"{number}.png", colour, number)
        return tmp_path / "all"

    return make


def statements(account: Account, words: str, **values: Any) -> list[Any]:
    with account.services.database.read() as connection:
        return list(connection.execute(text(words), values).all())


def answers(account: Account, job: str) -> dict[str, Any]:
    words = "SELECT name, answer FROM units WHERE job_id = :job ORDER BY number"
    rows = statements(account, words, job=job)
    return {name: _parsed(answer) for name, answer in rows}


def _parsed(answer: Any) -> Any:
    """SQLite gives JSON as text."""
    try:
        return json.loads(answer) if isinstance(answer, str) else answer
    except ValueError:
        return answer


def shown(sandbox: SandboxProcess) -> list[int]:
    """How many images each admitted call showed."""
    return [len(call["images"]) for call in sandbox.ledger() if call["event"] == "start"]


def expected(sizes: Sequence[int]) -> dict[str, Any]:
    return {
        f"{unit} {colour}": {"colour": colour, "photo_count": size}
        for unit, (colour, size) in enumerate(zip(COLOURS, sizes, strict=False))
    }


def ended(account: Account, photos: Path, **spec: Any) -> Any:
    spec = {"ask": None, "each": EACH, "schema": SHAPE, "by": "folder"} | spec
    (job,) = account.ended(account.submit(photos, **spec))
    return job


def test_units_share_requests_and_each_has_its_own_answer(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    sizes = [1, 2, 3, 2, 4, 1, 5, 1]
    account = open_account()
    job = ended(account, folders(sizes))
    assert (job.status, answers(account, job.id)) == ("completed", expected(sizes))
    assert sorted(shown(sandbox)) == [1, 6, 6, 6]
    assert job.answer.startswith('"0 red", image [1]:\ncolour: red; photo_count: 1')


@on_one_database
def test_answers_in_words_cite_images_of_their_unit_alone(
    open_account: OpenAccount, folders: Any
) -> None:
    account = open_account()
    job = ended(account, folders([3, 2]), schema=None)
    assert answers(account, job.id) == {
        "0 red": "Mostly red, dim: [1-3].",
        "1 blue": "Mostly blue, dark: [4-5].",
    }


def test_a_unit_that_no_request_can_hold_is_folded(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    account = open_account()
    sizes = [2, 15, 3]
    photos = folders(sizes)
    job = ended(account, photos)
    assert (job.status, answers(account, job.id)) == ("completed", expected(sizes))
    assert sorted(shown(sandbox)) == [2, 3, 5, 5, 5]
    words = ended(account, photos, schema=None)
    assert "blue" in answers(account, words.id)["1 blue"]
    assert "red" not in answers(account, words.id)["1 blue"]
    kinds = statements(
        account,
        "SELECT kind, count(*) FROM nodes WHERE job_id = :job AND unit = 2 GROUP BY kind",
        job=words.id,
    )
    assert {row[0]: row[1] for row in kinds} == {"branch": 1, "leaf": 3}


@on_one_database
def test_the_question_about_the_set_is_answered_from_the_units(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    account = open_account()
    job = ended(account, folders([2, 4]), ask="Which colours are there?")
    assert answers(account, job.id) == expected([2, 4])
    assert "[1]" in job.answer
    assert shown(sandbox) == [6, 0]


def test_a_refused_image_costs_its_unit_only_this_image(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    sizes = [2, 3, 1]
    photos = folders(sizes)
    paint(photos / "1 blue" / "9.png", "white", 3)
    sandbox.configure(keyed=[{"match": "colour:white", "kind": "451"}])
    account = open_account()
    job = ended(account, photos)
    assert job.status == "partial"
    assert answers(account, job.id) == expected(sizes)
    failed = statements(account, "SELECT name FROM images WHERE status = 'failed'")
    assert [row[0].rpartition("/")[2] for row in failed] == ["9.png"]


@on_one_database
@pytest.mark.parametrize(
    "fault", [{"missing_keys": 3}, {"skips_every": 4}, {"wrong_schema": True}, {}], ids=str
)
def test_no_unit_is_answered_from_a_part_of_its_images(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess, fault: dict[str, Any]
) -> None:
    sizes = [2, 3, 1, 4]
    sandbox.configure(**fault)
    account = open_account()
    job = ended(account, folders(sizes), canary=not fault)
    if "wrong_schema" in fault:
        assert answers(account, job.id) == dict.fromkeys(expected(sizes))
        return
    assert answers(account, job.id) == expected(sizes)


@on_one_database
def test_units_stay_exact_when_a_fifth_of_the_calls_is_refused(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    sizes = [3, 2, 1, 5, 2, 4, 1, 2]
    sandbox.configure(rates={"500": 0.1, "451": 0.1}, seed=3)
    account = open_account()
    job = ended(account, folders(sizes))
    lost = statements(
        account,
        "SELECT u.name, count(*) FROM images i JOIN units u ON u.job_id = i.job_id"
        " AND u.number = i.unit WHERE i.status = 'failed' GROUP BY u.name",
    )
    gone = {row[0]: row[1] for row in lost}
    wanted = expected(sizes)
    for name, given in answers(account, job.id).items():
        left = wanted[name]["photo_count"] - gone.get(name, 0)
        assert given == (wanted[name] | {"photo_count": left} if left else None)


def test_a_unit_with_the_images_of_another_is_not_asked_about(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    photos = folders([2, 3])
    shutil.copytree(photos / "0 red", photos / "9 copy")
    shutil.copy(photos / "0 red" / "0.png", photos / "1 blue" / "same.png")
    account = open_account()
    job = ended(account, photos)
    assert shown(sandbox) == [6]
    statuses = statements(
        account, "SELECT position, status, duplicate_of FROM images ORDER BY position"
    )
    assert [tuple(row) for row in statuses[-2:]] == [(7, "duplicate", 1), (8, "duplicate", 2)]
    assert account.statuses(job.id) == {"included": 6, "duplicate": 2}
    given = answers(account, job.id)
    assert given["9 copy"] == given["0 red"] == {"colour": "red", "photo_count": 2}
    assert given["1 blue"]["photo_count"] == 4


def test_a_grown_set_asks_about_changed_units_alone(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    sizes = [3, 3, 4, 2, 5]
    account = open_account()
    photos = folders(sizes)
    first = ended(account, photos)
    assert len(shown(sandbox)) == 3
    paint(photos / "2 green" / "7.png", "green", 7)
    second = ended(account, photos)
    assert second.follows == first.id
    assert sorted(shown(sandbox)[3:]) == [2, 5]
    sizes[2] += 1
    assert answers(account, second.id) == expected(sizes)
    added = paint(photos.parent / "more" / "0 red" / "8.png", "red", 8)
    third = followups.add(account.services, second.id, [str(added)]).job_id
    account.ended(third)
    fewer = followups.remove(account.services, third, [1]).job_id
    account.ended(fewer)
    given = answers(account, fewer)
    assert given["all/0 red"]["photo_count"] == sizes[0] - 1
    assert given["more/0 red"] == {"colour": "red", "photo_count": 1}
    assert {name: given[name] for name in list(expected(sizes))[1:]} == {
        name: value for name, value in expected(sizes).items() if name != "0 red"
    }


@on_one_database
def test_a_large_unit_that_has_not_changed_is_taken_over(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    account = open_account()
    photos = folders([14, 2])
    ended(account, photos)
    before = len(shown(sandbox))
    paint(photos / "1 blue" / "7.png", "blue", 7)
    grown = ended(account, photos)
    assert answers(account, grown.id) == expected([14, 3])
    assert shown(sandbox)[before:] == [3]
    assert ended(account, photos, label="the same").follows == grown.id
    assert len(shown(sandbox)) == before + 1


@on_one_database
def test_a_further_question_reads_the_answers_about_units(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    account = open_account()
    job = ended(account, folders([5, 4]))
    turn = followups.ask(account.services, job.id, "Which are red?").job_id
    (answered,) = account.ended(turn)
    assert answered.status == "completed"
    assert shown(sandbox)[-1] == 0


@on_one_database
def test_failed_images_are_retried_with_their_unit(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    sizes = [2, 3]
    sandbox.configure(keyed=[{"match": "colour:blue", "kind": "451"}])
    account = open_account()
    job = ended(account, folders(sizes))
    assert answers(account, job.id) == {**expected([2]), "1 blue": None}
    sandbox.configure(keyed=[])
    moved = Moved()
    with account.services.database.write() as connection:
        assert repair.reopen(connection, job.id, moved) == 3
    account.services.send("preprocess")
    eventually(lambda: account.job(job.id).status.ended, 60)
    assert answers(account, job.id) == expected(sizes)


@on_one_database
def test_answers_about_units_are_checked_by_their_names(
    open_account: OpenAccount, folders: Any, tmp_path: Path
) -> None:
    account = open_account()
    job = ended(account, folders([2, 3]))
    labels = tmp_path / "truth.csv"
    labels.write_text("unit,colour\n0 red,red\n1 blue,green\n")
    checked = check_job(account.services.database, job, read_truth(labels), ())
    assert (checked.matched, checked.score.fields["colour"].right) == (2, 1)
    assert [wrong.name for wrong in checked.score.wrong] == ["1 blue"]


@on_one_database
def test_units_of_a_table_are_exported_with_the_facts_that_their_images_share(
    open_account: OpenAccount, folders: Any
) -> None:
    photos = folders([1, 2])
    table = photos / "photos.csv"
    table.write_text(
        "file,asset,inspector\n0 red/0.png,P-17,Ann\n1 blue/0.png,P-18,Ann\n1 blue/1.png,P-18,Ben\n"
    )
    account = open_account()
    job = ended(account, table, by="asset", image_column="file")
    rows = list(export_of(account.services.database, job).rows())
    assert [(row["unit"], row["asset"], row["inspector"]) for row in rows] == [
        ("P-17", "P-17", "Ann"),
        ("P-18", "P-18", None),
    ]
    assert answers(account, job.id)["P-18"] == {"colour": "blue", "photo_count": 2}


@on_one_database
def test_a_unit_is_asked_again_when_a_shown_fact_of_one_of_its_images_changes(
    open_account: OpenAccount, folders: Any, sandbox: SandboxProcess
) -> None:
    photos = folders([1, 6])
    table = photos / "photos.csv"
    rows = [f"1 blue/{number}.png,B,new" for number in range(6)]
    table.write_text("\n".join(["file,asset,state", "0 red/0.png,A,new", *rows]))
    account = open_account()
    spec = {"by": "asset", "image_column": "file", "with_": ["state"]}
    ended(account, table, **spec)
    assert sorted(shown(sandbox)) == [1, 6]
    table.write_text("\n".join(["file,asset,state", "0 red/0.png,A,old", *rows]))
    ended(account, table, **spec)
    assert sorted(shown(sandbox)) == [1, 1, 6]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"by": "asset"}, "by: 'asset' is not folder, document or date"),
        ({"by": "folder", "detail": "auto"}, "a unit is not looked at twice"),
        ({"by": "folder", "each": None, "ask": "What?", "bare": True}, "leave out each"),
    ],
)
def test_what_cannot_be_is_refused(
    own: Any, folders: Any, spec: dict[str, Any], words: str
) -> None:
    services = planning_services(load())
    try:
        with pytest.raises(WrongUsage, match=words):
            submit.submit(
                services, parse_spec({"images": [str(folders([1]))], "each": EACH} | spec)
            )
    finally:
        services.close()


def test_one_question_is_asked_of_each_unit_and_of_the_set() -> None:
    spec = parse_spec({"images": ["x"], "ask": "What?", "by": "folder"})
    assert (spec.options.each, spec.options.each_only) == ("What?", False)
