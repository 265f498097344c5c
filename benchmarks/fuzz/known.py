"""Cases that once failed. They run first, whatever else is asked for.

A seed names the same input as long as the grammar of its kind stays as it is. So each fault has a
test of its own in ``tests/`` as well.
"""

from __future__ import annotations

KNOWN: dict[str, tuple[int, ...]] = {
    "json": (7854,),  # a text of 10 MB was judged for half a minute
    "receiver": (91, 94, 102, 121, 189, 388),  # a NUL in the status line, or in an error about it
    "reply": (123,),  # "[3" at the end of a line and "]" in the text below cited image 3
    "schema": (3934, 22316),  # a list as x-merge; an object without its type, merged as a whole
    "submission": (170, 448),  # a path in full length, and a field's name with a NUL, in a refusal
}
"""Seeds by kind."""
