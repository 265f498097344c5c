"""Image names for people, distinct within a job."""

from __future__ import annotations

import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from clients.sources.location import Source, is_url, local_path, system_path
from core.images.members import is_member, parse_member
from core.images.objects import is_object, parse_object
from core.images.uploaded import is_upload
from core.text.printable import printable_name


def url_name(url: str) -> str:
    """Host and path of a URL, without the query: it may hold signatures and secrets."""
    try:
        parts = urllib.parse.urlsplit(url)
        return printable_name(f"{parts.hostname}{urllib.parse.unquote(parts.path)}".rstrip("/"))
    except ValueError:
        return printable_name(url)


def with_distinct_names(sources: list[Source]) -> list[Source]:
    """Prefixes names that several files share with as many parent folders as make them distinct."""
    times = Counter(source.name for source in sources)
    locations: defaultdict[str, set[str]] = defaultdict(set)
    for source in sources:
        if times[source.name] > 1:  # a set for each of a million names is 0.2 GB
            locations[source.name].add(source.location)
    shared = {name for name, where in locations.items() if len(where) > 1}
    if not shared:
        return sources
    longer = {name: _distinct(name, locations[name]) for name in shared}
    return [replace(s, name=longer[s.name][s.location]) if s.name in shared else s for s in sources]


def _distinct(name: str, locations: Iterable[str]) -> dict[str, str]:
    """location -> its distinct name."""
    where = sorted(locations)
    parents = {at: _parents(at, name) for at in where}
    for depth in range(1, 1 + max(len(p) for p in parents.values())):
        names = {at: "/".join((*parents[at][-depth:], name)) for at in where}
        if max(Counter(names.values()).values()) == 1:
            return names
    return {at: f"{name}#{number}" for number, at in enumerate(where, 1)}


def _parents(location: str, name: str) -> list[str]:
    if is_url(location) or is_upload(location):
        return []
    parts = [printable_name(part) for part in _parts(location)]
    return parts[: len(parts) - 1 - name.count("/")]


def _parts(location: str) -> Sequence[str]:
    if is_object(location):
        name = parse_object(location)
        return [name.bucket, *name.key.split("/")]
    if is_member(location):
        member = parse_member(location)
        inner = system_path(member.inner).split("/")
        return [*local_path(member.archive).parts[1:], *inner]
    return local_path(location).parts[1:]
