"""The kind of leaf that a job's images are asked in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.requests.leaf import Leaf
from core.requests.notes_leaf import NotesLeaf
from core.requests.request import RequestContext
from core.requests.unit_leaf import ShownUnit, UnitLeaf
from core.requests.value_leaf import ValueLeaf


def leaf_of(
    context: RequestContext,
    positions: Mapping[int, int],
    contents: Mapping[int, str],
    is_root: bool,
    known_notes: Mapping[int, str] | None = None,
    units: Sequence[ShownUnit] = (),
) -> Leaf:
    """The leaf over images with ``positions`` and ``contents`` (hashes), by number from 1; over
    whole ``units``, if it is asked about them."""
    if units and context.answer_spec is not None:
        return UnitLeaf(context, positions, contents, is_root, context.answer_spec, units)
    if context.answer_spec is not None:
        return ValueLeaf(context, positions, contents, is_root, context.answer_spec)
    return NotesLeaf(context, positions, contents, is_root, known_notes or {})
