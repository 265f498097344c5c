"""Cases that once failed. They run first, whatever else is asked for.

A seed names the same input as long as the grammar of its kind stays as it is. So each fault has a
test of its own in ``tests/`` as well.
"""

from __future__ import annotations

KNOWN: dict[str, tuple[int, ...]] = {}
"""Seeds by kind."""
