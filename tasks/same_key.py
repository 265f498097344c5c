"""A submission with the key of an earlier job: the same job again, or another one under its name.

Reads: the job, its images, and the inputs as they are now. What does not change the answer may
differ: budget, weight, label, webhook, and how the job is done. May raise WrongUsage.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from clients.sources.location import Expansion, Source, is_url
from clients.sources.original import is_kept_apart
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.text.hashing import content_key
from core.text.printable import quotable
from models.reads import own_images, pipeline
from models.reads.own_images import SourceRow
from models.reads.pipeline import JobRow
from tasks.runtime.services import Services

TEXT_SHOWN = 60
NAMES_SHOWN = 3


def check_same(
    services: Services, job_id: str, spec: JobSpec, expand: Callable[[], Expansion]
) -> tuple[str, ...]:
    """Check that ``spec`` is what the job was submitted as. Returns what ``expand`` ignored.

    Raises WrongUsage, which names what differs. Inputs that are gone by now differ in nothing if
    they are named as they were.
    """
    with services.database.read() as connection:
        job = pipeline.job(connection, job_id)
        before = own_images.sources_of(connection, job_id)
    assert job is not None, "its key was found"
    found = other_question(job, spec)
    ignored: tuple[str, ...] = ()
    try:
        expansion = expand()
    except WrongUsage:
        if not found and job.options.inputs not in (None, inputs_key(spec.images)):
            raise
    else:
        ignored = tuple(expansion.ignored)
        found += other_images(before, expansion.sources)
    if found:
        raise WrongUsage(
            f"key: job {job_id} has the key {spec.key!r} and differs in {'; '.join(found)}. Submit"
            " the same again to get that job, or give this one a key of its own"
        )
    return ignored


def inputs_key(inputs: Sequence[str]) -> str:
    """A hash of inputs as they were named, to recognise them when they are gone."""
    return content_key(sorted(inputs))


def key_of(key: str | None, owner: str | None) -> str | None:
    """A submission's key as its job has it. Those of a token are hashed with its name, so that
    tokens with the same key neither collide nor learn of each other."""
    return key if key is None or owner is None else content_key(["owner", owner, key])


def other_question(job: JobRow, spec: JobSpec) -> list[str]:
    """What the question of ``spec`` has in another way than that of ``job``. A model and a detail
    that it does not name are those of the job."""
    options = job.options
    there = {
        "ask": None if options.each_only else job.ask,
        "each": options.each,
        "by": options.by,
        "with": list(options.facts),
        "schema": None if options.schema is None else json.loads(options.schema),
        "prompts": dict(options.prompts),
        "bare": options.bare,
        "canary": options.canary,
        "pack": options.pack,
        "detail": job.detail,
        "second_model": options.second_model,
        "second_look": options.second_look,
        "similar": options.similar,
        "model": job.model,
    }
    here = {
        "ask": spec.ask,
        "each": spec.options.each,
        "by": spec.by,
        "with": list(spec.options.facts),
        "schema": spec.schema_,
        "prompts": spec.prompts or {},
        "bare": spec.bare,
        "canary": spec.canary,
        "pack": spec.pack,
        "detail": spec.detail or job.detail,
        "second_model": spec.second_model,
        "second_look": spec.second_look or options.second_look,
        "similar": spec.similar,
        "model": spec.model or job.model,
    }
    return [
        f"{name} ({_short(there[name])}, not {_short(value)})"
        for name, value in here.items()
        if value != there[name]
    ]


def other_images(before: Sequence[SourceRow], now: Sequence[Source]) -> list[str]:
    """What a set of images has that the job's set has not, and the other way round."""
    there = {_place(image): image for image in before}
    here = {_place(image): image for image in now}
    groups = {
        "added": [here[place].name for place in here if place not in there],
        "removed": [there[place].name for place in there if place not in here],
        "changed": [
            image.name
            for place, image in here.items()
            if place in there and _is_changed(there[place], image)
        ],
    }
    counts = [f"{len(names):,} {what} ({_few(names)})" for what, names in groups.items() if names]
    return [f"images: {', '.join(counts)}"] if counts else []


def _place(image: SourceRow | Source) -> tuple[str, int | None]:
    """Where an image is. A URL is the same whatever pages are behind it: it is not fetched again to
    know that. So is a document in a bucket."""
    counted_later = is_url(image.location) or is_kept_apart(image.location)
    return image.location, None if counted_later else image.page


def _is_changed(before: SourceRow, now: Source) -> bool:
    """Whether a file has another size or version than before, where both are known."""
    pairs = ((before.bytes, now.bytes), (before.version, now.version))
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def _few(names: Sequence[str]) -> str:
    shown = [quotable(name, TEXT_SHOWN) for name in names[:NAMES_SHOWN]]
    return ", ".join(shown) + (", ..." if len(names) > NAMES_SHOWN else "")


def _short(value: object) -> str:
    return quotable(json.dumps(value, ensure_ascii=False), TEXT_SHOWN)
