"""The words that say how included images are proven, and what the progress display reports."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from models.reads.pipeline import Used
from overstory.output.progress import Bars, Counts, Display, Lines
from overstory.output.proof import included, warning

COUNTS = Counts((1, 0, 0, 0), (2, 2, 2, 0), Used(0, 0, 0, 0, 0.0, "USD"))


@pytest.mark.parametrize(
    ("answer", "line", "sent", "words"),
    [
        (0, 180, 0, "180 included, each by a line of its own"),
        (1_000, 0, 0, "1,000 included, each by an answer of its own"),
        (0, 1, 0, "1 included, by a line of its own"),
        (0, 0, 3, "3 included, only sent"),
        (0, 170, 10, "180 included (170 by a line of their own, 10 only sent)"),
        (1, 1, 0, "2 included (1 by an answer of its own, 1 by a line of its own)"),
        (0, 0, 0, "0 included"),
    ],
)
def test_included_images_are_named_by_their_proof(
    answer: int, line: int, sent: int, words: str
) -> None:
    assert included({"answer": answer, "line": line, "sent": sent}) == words


@pytest.mark.parametrize(
    ("sent", "words"), [(0, ""), (1, "1 image was only sent: "), (9, "9 images were only sent: ")]
)
def test_images_that_were_only_sent_are_warned_of(sent: int, words: str) -> None:
    assert warning({"answer": 0, "line": 1, "sent": sent}, "0a1b").startswith(words)
    assert bool(sent) == bool(warning({"answer": 0, "line": 1, "sent": sent}, "0a1b"))


def printed(display: type[Bars | Lines], terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100)
    with display(console) as shown:
        for _ in range(2):
            shown.show(COUNTS)
            shown.report([f"{display.__name__} takes at most 5 images [5]\nin one request"])
    return stream.getvalue()


@pytest.mark.parametrize(("display", "terminal"), [(Bars, True), (Lines, False)])
def test_a_sentence_is_reported_once_in_a_line_of_its_own(
    display: type[Bars | Lines], terminal: bool
) -> None:
    text = printed(display, terminal)
    assert text.count(f"{display.__name__} takes at most 5 images [5] in one request\n") == 1


def test_a_quiet_display_reports_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as shown:
        shown.report(["m takes at most 5 images"])
    assert capsys.readouterr() == ("", "")
