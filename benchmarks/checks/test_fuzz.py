"""The fuzz driver: it finds what goes wrong, and some cases of each kind end well."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from benchmarks.fuzz.driver import KINDS, Chunk, Run, chunks_of, draw_of
from benchmarks.fuzz.known import KNOWN


def test_each_way_to_fail_is_found_and_the_others_go_on() -> None:
    by_end = {_drilled(seed): seed for seed in range(50)}
    assert len(by_end) == 5
    run = Run(deque([Chunk("drill", sorted(by_end.values()))]))
    run.run(workers=1)
    found = {result.seed: result.wrong.partition(":")[0] for result in run.found}
    assert found == {
        by_end["in an error"]: "ValueError",
        by_end["in much work"]: "SLOW",
        by_end["never"]: "HANG",
        by_end["with its process"]: "DIED",
    }
    assert len(run.results) == 5


def _drilled(seed: int) -> Any:
    with KINDS["drill"].opened() as cases:
        return cases.make(draw_of("drill", seed))


@pytest.mark.timeout(180)
def test_some_cases_of_each_kind_end_well() -> None:
    kinds = [name for name, kind in KINDS.items() if kind.share]
    run = Run(chunks_of(dict.fromkeys(kinds, 12), first=1))
    run.chunks.extendleft(Chunk(kind, seeds) for kind, seeds in KNOWN.items())
    run.run(workers=2)
    assert run.found == []
    known = sum(map(len, KNOWN.values()))
    assert len(run.results) == 12 * len(kinds) + known


def test_a_case_is_the_same_wherever_it_runs() -> None:
    for name in ("schema", "reply", "json", "receiver", "drill"):
        with KINDS[name].opened() as cases, KINDS[name].opened() as others:
            assert [repr(cases.make(draw_of(name, seed))) for seed in range(20)] == [
                repr(others.make(draw_of(name, seed))) for seed in range(20)
            ]
    assert sum(kind.share for kind in KINDS.values()) == 100_000
