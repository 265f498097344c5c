"""Facts of tables as a job uses them: which must be there, and what a change of them means.

A fact that is shown to the model is a part of its request: images whose shown facts have changed
since the earlier job are asked about again. A change of any other fact costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from clients.sources.documents import fetch_rules
from clients.sources.location import Source
from clients.sources.tables import TableRules
from core.images.exif import GPS, TAKEN
from core.jobs import JobSpec
from core.settings import Settings
from core.tree.replan import OldNode
from models.reads.lineage import Earlier, Identity, KnownImage
from tasks.taken_over import identity_of

Facts = Mapping[str, Any] | None


def table_rules(settings: Settings, spec: JobSpec) -> TableRules:
    """How the job of ``spec`` reads tables among its inputs."""
    return TableRules(spec.image_column, spec.options.facts, fetch_rules(settings))


def without_changed(earlier: Earlier, sources: Sequence[Source], shown: Sequence[str]) -> Earlier:
    """``earlier`` without the texts about images whose ``shown`` facts are others now. Units are
    compared when they are laid out: a file may be in two of them."""
    if not shown:
        return earlier
    first: dict[Identity, Source] = {}  # a file may be in two rows; the first one is shown
    for source in sources:
        first.setdefault(identity_of(source), source)
    changed = {
        identity
        for identity, source in first.items()
        if (known := earlier.images.get(identity)) is not None and are_others(source, known, shown)
    }
    if not changed:
        return earlier
    return replace(earlier, root=unsettled(earlier.root, changed.__contains__))


def are_others(source: Source, known: KnownImage, shown: Sequence[str]) -> bool:
    """Whether ``shown`` facts of an image have changed since an earlier job."""
    return _shown(source.facts, shown, known.facts) != _shown(known.facts, shown)


def unsettled(node: OldNode, has_changed: Callable[[Hashable], bool]) -> OldNode:
    """``node`` whose leaves with a changed item have no text that may be kept."""
    if node.children:
        return replace(node, children=tuple(unsettled(n, has_changed) for n in node.children))
    return replace(node, settled=node.settled and not any(map(has_changed, node.items)))


def _shown(facts: Facts, shown: Sequence[str], before: Facts = None) -> list[Any]:
    """The values of the ``shown`` facts; ``before``: those of the earlier job, of which what was
    read from the picture still holds."""
    read = {name: (before or {}).get(name) for name in (TAKEN, GPS)}
    known = {**read, **(facts or {})}
    return [known.get(name) for name in shown]
