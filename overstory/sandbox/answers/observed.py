"""What a model knows of a request's images, and what it writes about each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from overstory.sandbox.answers.invented import invented
from overstory.sandbox.answers.observation import (
    INVENTED,
    Observation,
    from_notes,
    from_pictures,
    only,
)
from overstory.sandbox.answers.tired import mistaken
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.vision.decode import Picture

NO_COMMENT = "no comment"


@dataclass(frozen=True, slots=True)
class Observed:
    """``known``: what the answer about all images rests on, without canaries. ``one_by_one``: what
    is written under the numbers of single images. ``silent``: the numbers of the other images.
    """

    known: tuple[Observation, ...]
    one_by_one: tuple[Observation, ...]
    silent: frozenset[int] = frozenset()

    def plus(self, observation: Observation) -> Observed:
        """The same with one more observation."""
        more = (observation,)
        return replace(self, known=self.known + more, one_by_one=self.one_by_one + more)


def observed_in_notes(notes: str, config: SandboxConfig) -> Observed:
    known = tuple(from_notes(notes))
    return _with_false_citation(Observed(known, known), config)


def observed_in_pictures(
    text: str, pictures: Sequence[Picture], seen: int, tires: float, config: SandboxConfig
) -> Observed:
    """The model sees the first ``seen`` pictures; ``text`` is the request's. ``tires``: as the
    config's, of this model."""
    images = from_pictures(text, [picture.description for picture in pictures])
    contents = [picture.sha for picture in pictures]
    images = mistaken(images, contents, text, max(tires, config.tires), config.seed)
    views = [_view(position, image, seen, config) for position, image in enumerate(images, 1)]
    known = tuple(view for view in views if view is not None and view.says is None)
    written = [_written(position, views, config) for position in range(1, len(views) + 1)]
    one_by_one = tuple(observation for observation in written if observation is not None)
    silent = {image.marker for image in images} - {one.marker for one in one_by_one}
    return _with_false_citation(Observed(known, one_by_one, frozenset(silent)), config)


def _view(
    position: int, image: Observation, seen: int, config: SandboxConfig
) -> Observation | None:
    """What the model takes for the image at ``position``; None if it knows nothing of it."""
    if position <= seen:
        return image
    return invented(position, image) if config.invents else None


def _written(
    position: int, views: Sequence[Observation | None], config: SandboxConfig
) -> Observation | None:
    """What is written about the image at ``position``; None for no line."""
    view = views[position - 1]
    before = views[position - 2] if position > 1 else None
    if view is None or _is_due(config.skips_every, position):
        return None
    if _is_due(config.says_nothing_every, position):
        return only(view.marker, NO_COMMENT)
    if _is_due(config.copies_every, position) and before is not None:
        return replace(before, marker=view.marker)
    return view


def _is_due(every: int, position: int) -> bool:
    return every > 0 and position % every == 0


def _with_false_citation(observed: Observed, config: SandboxConfig) -> Observed:
    return observed.plus(INVENTED) if config.false_citations else observed
