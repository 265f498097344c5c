"""Sets of numbers that are kept as runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.text import citations
from core.text.runs import Runs

NUMBERS = st.sets(st.integers(1, 400), max_size=400)
SPANS = st.lists(st.tuples(st.integers(0, 410), st.integers(0, 410)), max_size=6)


@given(NUMBERS, SPANS)
def test_runs_are_the_set_of_their_numbers(numbers, spans):
    runs = Runs.of(numbers)
    assert runs == numbers
    assert list(runs) == sorted(numbers)
    assert len(runs) == len(numbers)
    assert [runs.at(index) for index in range(len(runs))] == sorted(numbers)
    assert all((number in runs) == (number in numbers) for number in range(410))
    for number in range(410):
        assert runs.below(number) == sum(each < number for each in numbers)
    text = "Seen. " + " ".join(f"So [{first}-{last}]." for first, last in spans)
    assert citations.check(text, runs) == citations.check(text, numbers)
