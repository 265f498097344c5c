"""The answer of a job with the evidence behind it, in as few words as an agent needs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.states import ImageStatus
from core.text.citations import cited_numbers
from models.engine import Database
from models.reads import parts
from models.reads.pipeline import JobRow
from overstory.api.mcp.quoting import Quoted, Room, joined, line, paragraphs
from overstory.output.result import image_values, overview

ANSWER_CHARACTERS = 12_000
TOTALS_CHARACTERS = 3_000
EVIDENCE_CHARACTERS = 8_000
"""Together 5,000 tokens; an agent asks for more of the one or the other."""
UNIT_CHARACTERS = 2_000
"""Of one unit's answer."""
FAILED_SHOWN = 10
NAMED = 20
"""Positions that are named where evidence is left out."""
EVIDENCE_MOST = EVIDENCE_CHARACTERS // 6 + NAMED
"""Images of which evidence is read: a line has 6 characters and more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a job is wanted. ``images``: the evidence of these positions alone; empty: of those
    that the answer cites. ``start``: the position from which answers about each image are listed,
    or the character from which a long answer is read on."""

    images: tuple[int, ...] = ()
    start: int = 1


@dataclass(frozen=True, slots=True)
class Told:
    """``shown``: positions whose evidence is in ``text``."""

    text: str
    shown: tuple[int, ...]


def answer_of(database: Database, row: JobRow, wanted: Wanted) -> Told:
    """The answer of a job so far, its coverage, the images behind it, and those that failed."""
    value = overview(database, row)
    quoted = Quoted()
    notes: list[str] = []
    by_units = row.options.by is not None
    asks_each = bool(row.options.each) and not by_units
    if not wanted.images:
        if not row.options.each_only:  # its text is the rows that follow
            notes += _answer(value, quoted, 1 if asks_each or by_units else wanted.start)
        notes += _units(value, quoted, wanted.start) if by_units else ()
        notes += _totals(value, quoted)
        notes += _failed(database, row, value["coverage"], quoted)
    behind = _behind(database, row, wanted)
    if wanted.images and behind.count < len(wanted.images):
        notes.append(f"Only the positions 1 to {row.submitted} are images of the job.")
    images = {image["position"]: image for image in _at(database, row, behind.first)}
    taken, _ = Room(EVIDENCE_CHARACTERS).take(_row(images[at]) for at in behind.first)
    quoted.part("ANSWERS:" if asks_each else "IMAGES BEHIND [n]:", taken)
    if left_out := behind.count - len(taken):
        rest = behind.first[len(taken) :]
        notes.append(_more(left_out, rest, asks_each and not wanted.images))
    notes.append(f"The report with pictures: the resource overstory://jobs/{row.id}/report")
    text = joined(summary(value), quoted.text(), "\n".join(notes))
    return Told(text, tuple(behind.first[: len(taken)]))


def summary(value: dict[str, Any]) -> str:
    """The state, coverage and cost of a job in one line, and why it is not complete."""
    counts = value["coverage"]
    parts = [f"{counts.get(status, 0):,} {status}" for status in ImageStatus if counts.get(status)]
    usage = value["usage"]
    cost = f"; {usage['cost']:.4f} {usage['currency']}" if usage["cost"] else ""
    charged = " (sandbox: a stand-in that sees colours alone)" if value["sandbox"] else ""
    only_sent = value["seen"].get("sent", 0)
    proof = f"; {only_sent:,} included without a proof that they were seen" if only_sent else ""
    said = f"; {line(value['reason'])}" if value["reason"] else ""
    return (
        f"job {value['job']} {value['status']}: {counts['submitted']:,} images:"
        f" {', '.join(parts)}{proof}{cost}{charged}{said}"
    )


def _answer(value: dict[str, Any], quoted: Quoted, start: int) -> Iterator[str]:
    """Quote the answer from a character on; yields what is left out."""
    whole = paragraphs(value["answer"] or "")
    text, left_out = Room(ANSWER_CHARACTERS).cut(whole[start - 1 :])
    quoted.part("ANSWER:", [text] if text else [])
    if left_out:
        yield (
            f"The answer has {left_out:,} more characters: answer with"
            f" start={len(whole) - left_out + 1}"
        )
    if value.get("data_error"):
        yield f"The object violates its schema: {line(value['data_error'])}"


def _units(value: dict[str, Any], quoted: Quoted, start: int) -> Iterator[str]:
    """Quote the answers about units from one on, which counts from 1; yields what is left out."""
    units = value["units"]
    taken, left_out = Room(ANSWER_CHARACTERS).take(map(_unit, units[start - 1 :]))
    quoted.part(f"UNITS, by {line(value['by'], 60)}:", taken)
    if left_out:
        yield f"{left_out:,} more units: answer with start={len(units) - left_out + 1}"


def _unit(unit: dict[str, Any]) -> str:
    """``12 Oak Street [1-12]: the answer``. Its images are named by the first and the last."""
    first, last = unit["images"][0], unit["images"][-1]
    where = f"[{first}]" if first == last else f"[{first}-{last}]"
    answer = unit.get("data", unit.get("answer"))
    told = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    told = "no answer" if answer is None else line(told, UNIT_CHARACTERS)
    failed = unit["coverage"]["failed"]
    missing = f" ({failed:,} of {unit['coverage']['submitted']:,} images failed)" if failed else ""
    return f"{line(unit['unit'], 120)} {where}{missing}: {told}"


def _totals(value: dict[str, Any], quoted: Quoted) -> Iterator[str]:
    """Quote the totals; yields that they are cut."""
    if value.get("totals"):
        text, left_out = Room(TOTALS_CHARACTERS).cut(
            json.dumps(value["totals"], ensure_ascii=False)
        )
        quoted.part("TOTALS, counted by code:", [text])
        if left_out:
            yield f"The totals are cut: 'overstory show {value['job']} --json' has them"


def _failed(
    database: Database, row: JobRow, coverage: dict[str, int], quoted: Quoted
) -> Iterator[str]:
    with database.read() as connection:
        first = parts.positions(connection, row.id, parts.FAILED, FAILED_SHOWN + NAMED)
    quoted.part("FAILED:", list(map(_row, _at(database, row, first[:FAILED_SHOWN]))))
    if len(first) > FAILED_SHOWN:
        more = coverage[ImageStatus.FAILED] - FAILED_SHOWN
        rest = ", ".join(map(str, first[FAILED_SHOWN:]))
        yield f"{more:,} more images failed: answer with images=[{rest}]"


@dataclass(frozen=True, slots=True)
class _Behind:
    """The images whose evidence is told: their number, and the positions of the first of them,
    more than there is room for."""

    count: int
    first: Sequence[int]


def _behind(database: Database, row: JobRow, wanted: Wanted) -> _Behind:
    by_units = row.options.by is not None
    if not wanted.images and row.options.each and not by_units:
        said = parts.said(wanted.start)
        with database.read() as connection:
            count = parts.count(connection, row.id, said)
            return _Behind(count, parts.positions(connection, row.id, said, EVIDENCE_MOST))
    cited = [] if by_units and row.options.each_only else cited_numbers(row.answer or "")
    behind = [at for at in wanted.images or cited if 1 <= at <= row.submitted]
    return _Behind(len(behind), behind[:EVIDENCE_MOST])


def _at(database: Database, row: JobRow, positions: Collection[int]) -> Iterator[dict[str, Any]]:
    """The images of a result at ``positions``."""
    return image_values(database, row, parts.at(positions)) if positions else iter(())


def _row(image: dict[str, Any]) -> str:
    """``[17] front.jpg: what was said about it``."""
    head = f"[{image['position']}] {line(image['name'], 120)}"
    if image["duplicate_of"]:
        return f"{head}: the same as [{image['duplicate_of']}]"
    if image["error"]:
        return f"{head}: {line(image['error'])}"
    said = _said(image)
    if said is None:
        return f"{head}: {image['status']}, and nothing was written about it alone"
    unclear = ", ".join(image["unclear"] or []) if image["unclear"] is not None else None
    doubt = "" if unclear is None else f" (unclear: {line(unclear) or 'the whole image'})"
    return f"{head}: {line(said, 600)}{doubt}"


def _said(image: dict[str, Any]) -> str | None:
    answer = image.get("answer")
    if answer is None:
        note: str | None = image["note"]
        return note
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _more(count: int, positions: Sequence[int], goes_on: bool) -> str:
    """``count`` images are left out; ``positions``: of the first of them."""
    if goes_on:
        return f"{count:,} more answers: answer with start={positions[0]}"
    named = ", ".join(map(str, positions[:NAMED]))
    return f"{count:,} more images behind it: answer with images=[{named}]"
