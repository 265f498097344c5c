"""Submissions read only what OVERSTORY_INPUT_ROOTS names, and nobody reads our own folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clients.images.decoder import Decoder
from clients.sources.expand import expand
from clients.sources.walk import Patience
from core.errors import InputRefused, WrongUsage
from core.images.inputs import InputRules
from core.images.sizing import DecoderLimits, ImageLimits
from core.settings import load
from core.states import ImageStatus
from models.tables import Image
from tasks import followups, image_slices, preprocess
from tasks.runtime.services import Services
from tasks.submit import submit_task
from tests.support import jobs
from tests.support.account import Account, on_one_database
from workers.app import make_app

LIMITS = ImageLimits()
DECODER = Decoder(DecoderLimits())
SETTING = "OVERSTORY_INPUT_ROOTS"


def refusal(*inputs: str | Path, roots: tuple[str, ...] | None) -> str:
    with pytest.raises(WrongUsage) as refused:
        expand([str(each) for each in inputs], LIMITS, DECODER, InputRules(roots))
    return str(refused.value)


@pytest.fixture
def inputs(tmp_path: Path, make_images: Callable[..., Path]) -> Path:
    """The root, beside what no submission may see."""
    make_images(1, folder="elsewhere", start=7)
    return make_images(2, folder="inputs")


# --- what may be named


def test_without_the_setting_a_local_path_is_refused_by_its_name(inputs: Path) -> None:
    for path in (inputs, inputs / "0000.jpg", inputs / "*.jpg", "/nowhere", "0000.jpg"):
        assert SETTING in refusal(path, roots=())
    found = expand(["https://a.example/x.jpg"], LIMITS, DECODER, InputRules(())).sources
    assert [source.root for source in found] == [None]


@pytest.mark.parametrize("kind", ["file", "folder", "pattern", "up", "closed"])
def test_a_refusal_says_the_same_for_what_exists_outside_and_what_does_not(
    inputs: Path, kind: str
) -> None:
    outside = inputs.parent / "elsewhere"
    if kind == "closed":
        outside.chmod(0)
    forms = {"file": "{}/0007.jpg", "folder": "{}", "pattern": "{}/*.jpg", "closed": "{}/0007.jpg"}
    forms["up"] = f"{inputs}/../{{0.name}}/0007.jpg"
    form, missing = forms[kind], outside.with_name("xlsewhere")
    said = [refusal(form.format(path), roots=(str(inputs),)) for path in (outside, missing)]
    outside.chmod(0o700)
    assert said[0].replace("elsewhere", "xlsewhere") == said[1]
    assert SETTING in said[0]


def test_links_out_of_a_root_say_nothing_about_what_they_lead_to(inputs: Path) -> None:
    outside = inputs.parent / "elsewhere"
    for number, target in enumerate([outside, outside / "0007.jpg", "/nowhere", outside / "none"]):
        (inputs / f"link{number}").symlink_to(target)
        (inputs / f"link{number}.jpg").symlink_to(target)
    roots = (str(inputs),)
    said = {refusal(inputs / f"link{n}", roots=roots).replace(f"link{n}", "") for n in range(4)}
    assert len(said) == 1
    assert SETTING in said.pop()
    found = expand([str(inputs)], LIMITS, DECODER, InputRules(roots))
    links = [source for source in found.sources if "link" in source.name]
    assert [(s.bytes, s.changed_ns) for s in links] == [(None, None)] * 4
    assert found.ignored == [f"link{n} (a link out of the folder)" for n in range(4)]


def test_the_longest_root_counts_and_a_row_keeps_it(inputs: Path) -> None:
    (inputs / "shop").mkdir()
    (inputs / "0000.jpg").rename(inputs / "shop/1.jpg")
    roots = (str(inputs.parent), str(inputs))
    found = expand(
        [str(inputs / "shop"), str(inputs / "0001.jpg")], LIMITS, DECODER, InputRules(roots)
    )
    assert [source.root for source in found.sources] == [f"{inputs}//shop", str(inputs)]


def test_roots_are_separated_like_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, f"/inputs/{os.pathsep}{os.pathsep}~/shop")
    assert load().input_roots == ("/inputs", str(Path("~/shop").expanduser()))
    monkeypatch.delenv(SETTING)
    assert load().submitted_inputs.roots == ()
    assert load().own_inputs.roots is None


# --- Overstory's own folders


@pytest.mark.parametrize("how", ["folder", "file", "pattern", "link", "above"])
@pytest.mark.parametrize("by_message", [False, True])
def test_the_state_folder_and_the_blobs_are_never_inputs(
    tmp_path: Path, make_images: Callable[..., Path], how: str, by_message: bool
) -> None:
    """A prepared image of another job has a name without an ending, and the bytes of a JPEG."""
    home, blobs = make_images(1, folder="home/inside").parent, make_images(1, folder="all/blobs")
    settings = load(home=home, blob_url=f"file://{blobs}", input_roots=(str(tmp_path),))
    rules = settings.submitted_inputs if by_message else settings.own_inputs
    for own in (home, home / "inside", blobs):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(own)
        given = {"folder": own, "file": own / "0000.jpg", "pattern": own / "*.jpg"}
        given |= {"link": tmp_path / "link", "above": own.parent}
        if how == "file" and own == home:
            continue
        if how == "above":
            (own.parent / "mine.jpg").write_bytes(b"\xff\xd8\xff mine")
            own_only = own == home / "inside"
            if own_only:
                continue
            found = expand([str(own.parent)], LIMITS, DECODER, rules)
            assert [Path(source.name).name for source in found.sources] == ["mine.jpg"]
            assert any("own folder" in name for name in found.ignored)
            (own.parent / "mine.jpg").unlink()
            continue
        with pytest.raises(InputRefused, match="own state folder or blob folder"):
            expand([str(given[how])], LIMITS, DECODER, rules)


# --- from the message to the worker


@pytest.fixture
def account(open_account: Callable[..., Account], inputs: Path) -> Account:
    return open_account(start=False, input_roots=(str(inputs),))


def send(services: Services, **arguments: Any) -> str:
    """What a worker does with a message."""
    app = make_app(services.settings)
    app._services = (os.getpid(), services)
    with app:
        job: str = app.tasks[submit_task.name](**arguments)
    return job


def errors_of(account: Account, job: str) -> list[str | None]:
    return [row.error_code for row in jobs.look(account.services.database, Image, job)]


@on_one_database
def test_a_message_may_name_what_is_in_a_root_and_nothing_else(
    account: Account, inputs: Path
) -> None:
    job = send(account.services, images=[str(inputs)], ask="What?")
    assert account.job(job).submitted == 2
    for path in (inputs.parent / "elsewhere", "/etc/passwd", account.services.settings.home):
        with pytest.raises(WrongUsage, match=SETTING):
            send(account.services, images=[str(path)], ask="What?")


@on_one_database
@pytest.mark.parametrize("swapped", ["file", "folder", "input"])
def test_a_link_swapped_after_the_submission_is_not_followed(
    account: Account, inputs: Path, swapped: str
) -> None:
    outside = inputs.parent / "elsewhere"
    (inputs / "shop").mkdir()
    (inputs / "shop/deep").mkdir()
    (inputs / "0000.jpg").rename(inputs / "shop/deep/0007.jpg")
    job = send(account.services, images=[str(inputs / "shop")], ask="What?")
    place = {"file": "shop/deep/0007.jpg", "folder": "shop/deep", "input": "shop"}[swapped]
    (inputs / place).rename(inputs / "before")
    if swapped == "input":
        (outside / "deep").mkdir()
        (outside / "0007.jpg").rename(outside / "deep/0007.jpg")
    (inputs / place).symlink_to(outside / "0007.jpg" if swapped == "file" else outside)
    image_slices.run_slice(account.services, preprocess.STAGE)
    assert errors_of(account, job) == ["outside_folder"]


@on_one_database
def test_a_persons_own_run_needs_no_root_from_the_same_workers(
    account: Account, inputs: Path
) -> None:
    job = account.submit(inputs.parent / "elsewhere")
    image_slices.run_slice(account.services, preprocess.STAGE)
    assert account.statuses(job) == {ImageStatus.PREPARED: 1}


@on_one_database
def test_images_that_a_person_adds_need_no_root_and_the_others_keep_theirs(
    account: Account, inputs: Path
) -> None:
    services = account.services
    job = send(services, images=[str(inputs)], ask="What?")
    jobs.finish_all(services.database, jobs.upload_all(services.database, job))
    added = followups.add(services, job, [str(inputs.parent / "elsewhere/0007.jpg")])
    rows = jobs.look(services.database, Image, added.job_id)
    assert [row.root for row in rows] == [str(inputs), str(inputs), None]


# --- an end to every list


def looping(folder: Path) -> Path:
    """Two links to the folder itself: twice as many paths at every depth."""
    folder.mkdir()
    for name in ("x", "y"):
        (folder / name).symlink_to(".")
    (folder / "1.jpg").write_bytes(b"\xff\xd8\xff 1")
    return folder


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["**/*.jpg", "**", "**/**/*.jpg", ""])
def test_links_to_their_own_folder_are_entered_once(tmp_path: Path, pattern: str) -> None:
    found = expand([str(looping(tmp_path / "a") / pattern)], LIMITS, DECODER)
    assert [source.name for source in found.sources] == ["1.jpg"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("given", ["/", "/**", "//", "/**/*.jpg", "/tmp/.."])
def test_the_whole_file_system_is_refused(given: str) -> None:
    with pytest.raises(InputRefused, match="whole file system"):
        expand([given], LIMITS, DECODER)


@pytest.mark.parametrize("pattern", ["", "*.jpg", "**/*.jpg", "*/*/*/*.jpg"])
def test_a_list_ends_with_a_sentence(tmp_path: Path, pattern: str) -> None:
    for number in range(30):
        (tmp_path / f"many/{number}").mkdir(parents=True)
    (tmp_path / "many/1.jpg").write_bytes(b"\xff\xd8\xff 1")
    given = [str(tmp_path / "many" / pattern)]
    with pytest.raises(InputRefused, match="more than 20 files and folders: give smaller"):
        expand(given, LIMITS, DECODER, patience=Patience(entries=20))
    seconds = iter(range(0, 10_000, 40))
    slow = Patience(clock=lambda: float(next(seconds)))
    with pytest.raises(InputRefused, match="more than 60 s to list: give smaller"):
        expand([*given, *given], LIMITS, DECODER, patience=slow)


def test_a_pattern_refuses_links_that_a_folder_refuses(inputs: Path) -> None:
    (inputs / "out.jpg").symlink_to(inputs.parent / "elsewhere/0007.jpg")
    (inputs / "folder").symlink_to(inputs.parent / "elsewhere")
    for given in (inputs, inputs / "*", inputs / "**", inputs / "**/*"):
        found = expand([str(given)], LIMITS, DECODER)
        assert [s.name for s in found.sources] == ["0000.jpg", "0001.jpg", "out.jpg"]
        assert {s.root for s in found.sources} == {str(inputs)}
        assert found.sources[-1].bytes is None
