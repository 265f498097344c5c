"""Lists what is in a bucket below a prefix or matches a pattern, as ``walk`` lists a folder.

A bucket has keys and no folders: what is before a slash is taken for one. A folder is listed by
pages at once, with all that is below it; a pattern without ``**`` level by level, because what is
beside the pattern may be millions of objects. No first bytes are read: each would be a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from glob import has_magic

from clients.objects import Bucket, Listed, bucket_of
from clients.sources.patterns import Pattern, States, is_passed_over
from clients.sources.refusals import ROOTS
from clients.sources.walk import Found, Kind, Patience, natural
from core.errors import InputRefused, WrongUsage
from core.images.formats import has_image_ending
from core.images.inputs import SKIP_FILES, InputRules
from core.images.objects import ObjectName, is_below, is_object, parse_object
from core.text.printable import quotable

SHOWN = 200
AT_ONCE = 16
CHECK_EVERY = 512


@dataclass(frozen=True, slots=True)
class Listing:
    """``base``: the folder whose keys ``found`` continues, in natural order; ``what``: the input,
    for messages."""

    base: ObjectName
    found: Iterator[Found]
    what: str
    is_single: bool = False

    def location(self, found: Found) -> str:
        return ObjectName(
            self.base.scheme, self.base.bucket, _joined(self.base.key, found.inner)
        ).location


Known = Mapping[ObjectName, Listed | None]
"""Objects that were looked up; None: there is none with that key."""


def looked_up(inputs: Sequence[str], rules: InputRules, check: Callable[[], None]) -> Known:
    """The single objects among the inputs of a job. Each takes a request, so many are asked for at
    the same time. ``check`` is called now and then: what it raises ends the search.

    Raises like ``listing``.
    """
    names = [checked(text, rules) for text in inputs if is_object(text)]
    wanted = [name for name in dict.fromkeys(names) if _may_be_object(name)]
    if len(wanted) < AT_ONCE:
        return {}
    found: dict[ObjectName, Listed | None] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first in range(0, len(wanted), CHECK_EVERY):
            check()
            some = wanted[first : first + CHECK_EVERY]
            ones = pool.map(lambda name: bucket_of(name).find(name.key), some)
            found |= zip(some, ones, strict=True)
    return found


def listing(text: str, rules: InputRules, patience: Patience, known: Known) -> Listing:
    """What an input in a bucket leads to: one object, all of a folder, or what a pattern matches.

    Raises InputRefused, before anything is asked, for a bucket that ``rules`` do not list;
    WrongUsage and ObjectAway if the bucket cannot be read.
    """
    name = checked(text, rules)
    shown = quotable(name.location, SHOWN)
    key, pattern = _split(name.key)
    base = ObjectName(name.scheme, name.bucket, key)
    bucket = bucket_of(name)
    one = None
    if _may_be_object(name):
        one = known[name] if name in known else bucket.find(name.key)
    if one is not None:
        above, _, last = name.key.rpartition("/")
        folder = ObjectName(name.scheme, name.bucket, above)
        return Listing(folder, iter([_file(last, one)]), shown, is_single=True)
    below = _Folder(bucket, base, pattern or Pattern(), patience, rules)
    what = f"the pattern {shown!r}" if pattern else f"the folder {shown!r}"
    return Listing(base, below.found(), what)


def _may_be_object(name: ObjectName) -> bool:
    return bool(name.key) and not name.key.endswith("/")


def checked(text: str, rules: InputRules) -> ObjectName:
    """The object, folder or pattern that an input names, if ``rules`` allow it. Nothing is asked.
    Raises InputRefused, WrongUsage."""
    name = parse_object(text)
    shown = quotable(name.location, SHOWN)
    if not name.bucket:
        raise WrongUsage(f"{shown!r} names no bucket: write {name.scheme}://bucket/folder/")
    base = ObjectName(name.scheme, name.bucket, _split(name.key)[0])
    if rules.roots is not None and not is_below(base, rules.roots):
        raise InputRefused(
            f"{shown!r} is outside {ROOTS}, the folders and buckets that submissions may name"
        )
    if is_below(base, rules.private):
        raise InputRefused(
            f"{shown!r} is where Overstory keeps prepared images (OVERSTORY_BLOB_URL): give a copy"
            " of the images in another folder"
        )
    return name


def _split(key: str) -> tuple[str, Pattern | None]:
    """The folder, and the pattern below it if there is one."""
    if not has_magic(key):
        return key.removesuffix("/"), None
    parts = key.split("/")
    fixed = next(n for n, part in enumerate(parts) if has_magic(part))
    return "/".join(parts[:fixed]), Pattern(tuple(parts[fixed:]))


@dataclass(slots=True)
class _Folder:
    bucket: Bucket
    base: ObjectName
    pattern: Pattern
    patience: Patience
    rules: InputRules
    states: dict[str, States | None] = field(default_factory=dict)  # of each folder; None: closed
    passed_over: list[Found] = field(default_factory=list)

    def found(self) -> Iterator[Found]:
        """Everything that matches. The keys come in another order, so all are kept until then."""
        self.states[""] = self.pattern.start
        self.patience.begin()
        found = [entry for each in self._objects() if (entry := self._seen(each)) is not None]
        self.patience.pause(self.base.location)
        found += self.passed_over
        found.sort(key=lambda entry: [natural(part) for part in entry.inner.split("/")])
        return iter(found)

    def _objects(self) -> Iterator[Listed]:
        if self.pattern.is_deep:
            yield from self.bucket.listed(self.base.key)
            return
        folders = [""]
        while folders:
            objects, below = self.bucket.level(_joined(self.base.key, folders.pop()))
            self.patience.pause(self.base.location)
            yield from objects
            inner = [self._inner(folder) for folder in below]
            folders += [folder for folder in reversed(inner) if self._entered(folder)]

    def _seen(self, one: Listed) -> Found | None:
        """None for what does not match, and for the empty object that stands for a folder."""
        self.patience.visit(self.base.location)
        inner = self._inner(one.key)
        folder, _, name = inner.rpartition("/")
        states = self._entered(folder)
        if states is None or (not one.bytes and not has_image_ending(name)):
            return None
        skipped = self.rules.skip_folders and is_passed_over(name, SKIP_FILES)
        if skipped and not self.pattern.names(states, name):
            return Found(inner, Kind.PASSED_OVER)
        matches, _ = self.pattern.match(states, name)
        return _file(inner, one) if matches else None

    def _inner(self, key: str) -> str:
        return key[len(self.base.key) :].strip("/") if self.base.key else key.strip("/")

    def _entered(self, folder: str) -> States | None:
        """The states of a folder; None if nothing in it counts."""
        unknown = []
        above = folder
        while above not in self.states:
            unknown.append(above)
            above = above.rpartition("/")[0]
        for each in reversed(unknown):
            self.states[each] = self._opened(each)
        return self.states[folder]

    def _opened(self, folder: str) -> States | None:
        above, _, name = folder.rpartition("/")
        states = self.states[above]
        at = ObjectName(self.base.scheme, self.base.bucket, _joined(self.base.key, folder))
        if states is None or is_below(at, self.rules.private):
            return None
        _, following = self.pattern.match(states, name)
        hidden = name.startswith(".") and self.pattern.is_deep_at(states)
        if self._is_passed_over(folder, name, states) and (following or hidden):
            self.passed_over.append(Found(folder, Kind.PASSED_OVER))
            return None
        return following or None

    def _is_passed_over(self, folder: str, name: str, states: States) -> bool:
        if not self.rules.skip_folders or self.pattern.names(states, name):
            return False
        path = _joined(self.base.key, folder)
        return is_passed_over("/".join(path.split("/")[-2:]), self.rules.skip_folders)


def _file(inner: str, one: Listed) -> Found:
    """An ETag tells more than a time: an object that is written again with the same bytes keeps
    it."""
    changed = None if one.version else one.changed_ns
    return Found(inner, Kind.FILE, one.bytes, changed, version=one.version)


def _joined(folder: str, inner: str) -> str:
    return f"{folder}/{inner}" if folder and inner else folder or inner
