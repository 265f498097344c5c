"""Similar images: compared before anything is uploaded, planned afterwards, undone without loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from PIL import Image, ImageFilter
from sqlalchemy import text

from core.errors import WrongUsage
from core.states import JobStatus
from models import claims, new_job, repair, state
from models.reads import pipeline
from models.state import Moved
from overstory.commands import watch
from overstory.output.held_by import account_state
from tasks import comparing, followups, image_slices, preprocess
from tests.support.account import Account, on_one_database

OpenAccount = Callable[..., Account]


def scene(seed: int) -> Image.Image:
    """Coloured blotches, like nothing that is drawn from another seed."""
    rng = Random(seed)
    small = Image.new("RGB", (6, 5))
    small.putdata([tuple(rng.randint(20, 235) for _ in "rgb") for _ in range(30)])
    return small.resize((320, 240), Image.Resampling.BICUBIC)


def shot(path: Path, seed: int, number: int, second: float, sharp: bool = False) -> Path:
    """One of a burst: number shifts it by so many pixels. All but the sharp one are blurred."""
    view = scene(seed).crop((number, 0, 300 + number, 230))
    noise = Image.effect_noise(view.size, 12).convert("L")
    view = Image.blend(view, noise.convert("RGB"), 0.08)
    if not sharp:
        view = view.filter(ImageFilter.GaussianBlur(2))
    exif = Image.Exif()
    part = exif.get_ifd(0x8769)
    part[0x9003] = f"2026:05:01 12:{int(second) // 60:02}:{int(second) % 60:02}"
    part[0x9291] = f"{int(second % 1 * 1000):03}"
    path.parent.mkdir(parents=True, exist_ok=True)
    view.save(path, quality=90, exif=exif)
    return path


def bursts(folder: Path, count: int, size: int, first: int = 0) -> Path:
    """Bursts a minute apart, the second shot of each the sharpest."""
    for burst in range(first, first + count):
        for number in range(size):
            at = 60 * burst + 0.4 * number
            shot(folder / f"{burst:02} {number}.jpg", burst, number, at, sharp=number == 1)
    return folder


def images_of(account: Account, job: str) -> list[pipeline.ImageRow]:
    with account.services.database.read() as connection:
        return pipeline.images(connection, job)


def requests(account: Account, job: str) -> int:
    with account.services.database.read() as connection:
        return pipeline.used(connection, job).requests


def sql(account: Account, statement: str, **values: object) -> list[tuple[object, ...]]:
    with account.services.database.read() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


def test_the_best_of_each_burst_is_asked_about_in_full_requests(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account()  # 6 images a request
    job = account.submit(bursts(tmp_path / "a", 7, 3), similar=True)
    ended = account.ended(job)[0]
    assert ended.status == "completed", ended.reason
    rows = images_of(account, job)
    assert [row.status for row in rows] == ["skipped", "included", "skipped"] * 7
    assert [row.error for row in rows[:3]] == ["similar to [2]", None, "similar to [2]"]
    assert {row.error_code for row in rows if row.status == "skipped"} == {"similar"}
    assert requests(account, job) == 3  # 7 images are 2 leaves and a root, not 21 in 4
    leaves = sql(
        account, "SELECT pending, status FROM nodes WHERE job_id = :job AND kind = 'leaf'", job=job
    )
    assert sorted(leaves) == [(0, "done"), (0, "done")]


@on_one_database
def test_without_it_only_what_was_left_out_is_paid_for(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account()
    folder = bursts(tmp_path / "a", 8, 3)
    job = account.submit(folder, similar=True)
    account.ended(job)
    plain = account.submit(folder)
    ended = account.ended(plain)[0]
    assert ended.follows == job
    assert account.statuses(plain) == {"included": 24}
    shown = """
        SELECT sum(images) FROM nodes WHERE kind = 'leaf' AND job_id = :job
        AND id IN (SELECT node_id FROM calls)
    """
    assert sql(account, shown, job=plain) == [(16,)]
    # the tree of leaves that take turns is kept when the set grows
    grown = account.submit(bursts(folder, 1, 2, first=8))
    account.ended(grown)
    assert account.statuses(grown) == {"included": 26}
    assert sql(account, shown, job=grown)[0][0] <= 8


@on_one_database
def test_answers_about_each_image_of_one_request_stay(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account()
    folder = bursts(tmp_path / "a", 2, 2)
    account.ended(account.submit(folder, ask=None, each="What is it?", similar=True))
    plain = account.submit(folder, ask=None, each="What is it?")
    assert account.ended(plain)[0].status == "completed"
    assert account.statuses(plain) == {"included": 4}
    asked = (
        "SELECT sum(images) FROM nodes WHERE job_id = :job AND id IN (SELECT node_id FROM calls)"
    )
    assert sql(account, asked, job=plain) == [(2,)]
    assert all(row.answer for row in images_of(account, plain))


@on_one_database
def test_on_top_of_a_complete_job_everything_is_reused(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account()
    folder = bursts(tmp_path / "a", 3, 2)
    first = account.submit(folder)
    account.ended(first)
    job = account.submit(folder, similar=True)
    assert job != first
    assert account.ended(job)[0].status == "completed"
    assert requests(account, job) == 0
    assert account.statuses(job) == {"included": 6}  # what is answered costs nothing
    more = account.submit(shot(folder / "00 9.jpg", 0, 3, 1.0).parent, similar=True)
    account.ended(more)
    # the new shot of the first burst is left out, although no hash of the others was known
    assert account.statuses(more) == {"included": 6, "skipped": 1}
    assert requests(account, more) == 0


@on_one_database
def test_groups_are_found_anew_when_the_set_grows(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account()
    folder = bursts(tmp_path / "a", 8, 3)
    account.ended(account.submit(folder, similar=True))
    shot(folder / "07 9.jpg", 7, 2, 60 * 7 + 1.0, sharp=True)
    grown = account.submit(bursts(folder, 1, 3, first=8), similar=True)
    account.ended(grown)
    rows = images_of(account, grown)
    answered = [row.position for row in rows if row.status == "included"]
    assert answered == [*range(2, 24, 3), 27], "what was answered stays the best of its burst"
    assert rows[24].error == "similar to [23]"
    assert requests(account, grown) <= 2  # the leaf of the new image, and the root


@on_one_database
def test_adding_and_removing_compare_again(open_account: OpenAccount, tmp_path: Path) -> None:
    account = open_account()
    job = account.submit(bursts(tmp_path / "a", 2, 3), similar=True)
    account.ended(job)
    new = shot(tmp_path / "b" / "new.jpg", 1, 0, 61.5, sharp=True)
    added = followups.add(account.services, job, [str(new)]).job_id
    account.ended(added)
    assert [row.error for row in images_of(account, added)][3:] == [
        "similar to [5]",
        None,
        "similar to [5]",
        "similar to [5]",
    ]
    assert requests(account, added) == 0  # nothing new is asked about
    without = followups.remove(account.services, added, {2}).job_id  # it stood for [1] and [3]
    account.ended(without)
    assert account.statuses(without) == {"included": 2, "skipped": 4}


@on_one_database
def test_an_image_that_fails_holds_nothing_up_and_is_never_similar(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account()
    folder = bursts(tmp_path / "a", 2, 2)
    (folder / "99.jpg").write_bytes(b"no picture")
    job = account.submit(folder, similar=True)
    assert account.ended(job)[0].status == "partial"
    assert account.statuses(job) == {"included": 2, "skipped": 2, "failed": 1}
    shot(folder / "99.jpg", 9, 0, 900)
    with account.services.database.write() as connection:
        assert repair.reopen(connection, job, Moved()) == 1  # not those that were left out
    assert account.ended(job)[0].status == "completed"
    assert account.statuses(job) == {"included": 3, "skipped": 2}


@on_one_database
def test_a_job_of_failures_alone_fails(open_account: OpenAccount, tmp_path: Path) -> None:
    account = open_account()
    for number in range(8):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture %d" % number)
    job = account.submit(tmp_path, similar=True)
    ended = account.ended(job)[0]
    assert ended.status == "failed"
    assert account.statuses(job) == {"failed": 8}


def stepped(account: Account, job: str) -> None:
    """Prepare all images of the job, but do not compare them."""
    stage = replace(preprocess.STAGE, after=lambda services: None)
    while account.statuses(job)["pending"]:
        image_slices.run_slice(account.services, stage)


def test_nothing_is_uploaded_before_the_comparison_and_a_crash_in_it_loses_nothing(
    open_account: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = open_account(start=False)
    job = account.submit(bursts(tmp_path / "a", 3, 2), similar=True)
    stepped(account, job)
    view = watch.view_of(account.services.database, job, account_state(account.services))
    assert "comparing images" in watch.one_line(view, "")
    assert watch.above_bars(view)
    with account.services.database.read() as connection:
        due = claims.waiting_work(connection, account.services.account, 10)
    assert {stage.name: count for stage, count in due.items()} == {"preprocess": 1}
    whole = new_job.insert_tree

    def dies(*arguments: object, **others: object) -> None:
        whole(*arguments, **others)
        raise KeyboardInterrupt

    monkeypatch.setattr(new_job, "insert_tree", dies)
    with pytest.raises(KeyboardInterrupt):
        comparing.compare_next(account.services)
    assert account.statuses(job) == {"prepared": 6}
    assert sql(account, "SELECT count(*) FROM nodes WHERE job_id = :job", job=job) == [(0,)]
    monkeypatch.setattr(new_job, "insert_tree", whole)
    # a second worker has read the same before the first one writes
    read = comparing._read(account.services, job)
    assert comparing.compare_next(account.services) is not None
    monkeypatch.setattr(comparing, "_read", lambda services, job_id: read)
    monkeypatch.setattr(claims, "job_to_compare", lambda connection, account: job)
    assert comparing.compare_next(account.services) is None
    monkeypatch.undo()
    assert account.statuses(job) == {"prepared": 3, "skipped": 3}
    account.start()
    assert account.ended(job)[0].status == "completed"


@on_one_database
def test_a_job_that_is_cancelled_or_paused_while_it_compares(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account(start=False)
    services = account.services
    job = account.submit(bursts(tmp_path / "a", 2, 2), similar=True)
    stepped(account, job)
    with services.database.write() as connection:
        state.job_moved(connection, job, JobStatus.PAUSED, "by hand")
    assert comparing.compare_next(services) is None
    with services.database.write() as connection:
        state.job_cancelled(connection, job, Moved())
    assert account.statuses(job) == {"skipped": 4}
    with services.database.write() as connection:
        assert repair.reopen(connection, job, Moved()) == 4
    account.start()
    assert account.ended(job)[0].status == "completed"
    assert account.statuses(job) == {"included": 2, "skipped": 2}


@on_one_database
def test_a_further_question_leaves_the_same_images_out(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account()
    job = account.submit(bursts(tmp_path / "a", 8, 2), similar=True)
    account.ended(job)
    turn = followups.ask(account.services, job, "Which is best?").job_id
    assert account.ended(turn)[0].status == "completed"
    assert account.statuses(turn) == {"included": 8, "skipped": 8}
    assert images_of(account, turn)[0].error == "similar to [2]"
    assert requests(account, turn) == 1  # from the notes


@on_one_database
def test_only_images_of_one_unit_are_compared(open_account: OpenAccount, tmp_path: Path) -> None:
    account = open_account()
    for unit in "ab":
        for number in range(3):
            shot(tmp_path / "all" / unit / f"{number}.jpg", 0, number, 0.3 * number, number == 0)
    job = account.submit(tmp_path / "all", ask=None, each="What is it?", by="folder", similar=True)
    assert account.ended(job)[0].status == "completed"
    assert account.statuses(job) == {"included": 2, "skipped": 4}
    answers = sql(account, "SELECT answer IS NOT NULL FROM units WHERE job_id = :job", job=job)
    assert answers == [(1,), (1,)]


@on_one_database
def test_the_same_key_with_and_without_it_is_another_question(
    open_account: OpenAccount, tmp_path: Path
) -> None:
    account = open_account(start=False)
    folder = bursts(tmp_path / "a", 1, 2)
    account.submit(folder, similar=True, key="k")
    with pytest.raises(WrongUsage, match=r"similar \(true, not false\)"):
        account.submit(folder, key="k")
