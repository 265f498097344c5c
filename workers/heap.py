"""What the C library keeps of a process's memory after it was used.

glibc gives each thread that works an arena of its own, and raises its thresholds to the largest
block that was ever freed. After one large read, each of sixteen threads then keeps some of the most
memory that it has used. Blocks of a megabyte are given back and taken again all the time meanwhile,
which is a third of the CPU of building requests with images inside.
"""

from __future__ import annotations

import ctypes

ARENAS = 2
"""Python runs one thread at a time, so more arenas serve nobody."""
KEPT_BYTES = 4 * 1024 * 1024
"""Kept for the next images at the end of each arena. Larger blocks are mapped by themselves, and
given back as soon as they are free."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


def keep_little() -> None:
    """Bound what this process keeps. Call it before its threads start. Does nothing where the C
    library is not glibc, which alone has these options."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    library.mallopt(_M_ARENA_MAX, ARENAS)
    library.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    library.mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES)
