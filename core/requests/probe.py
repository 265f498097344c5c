"""Probes of an endpoint: requests whose pictures each show a word, so that reading proves seeing.

They are requests as a run sends them, so what they show holds for runs: with one picture, with
several, with a long text, and with a large picture. One asks for a form of reply by a schema and
for another by its text, so the reply tells which of them the server keeps to. Small and large
pictures, one and several, short and long texts tell how the endpoint counts tokens
(core/account/token_fit.py).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.catalog.models import Structured
from core.catalog.tokens import Detail
from core.job_options import JobOptions
from core.reply import Reply
from core.requests.canary import PROBED, SIDE, WORDS
from core.requests.forms import structured_in
from core.requests.leaf import Leaf
from core.requests.leaves import leaf_of
from core.requests.prompt_parts import PromptParts, Size, parts_of
from core.requests.request import Body, RequestContext, prompt_text, prompt_tokens, request_context
from core.requests.set_summary import response_format
from core.settings import Settings
from core.tree.capacity import LearnedLimits

SEVERAL = 12
"""Pictures of the probe with several, if a request may show so many: real caps are often 1, 5, 8
or 10 (docs/limits.md)."""
QUESTION = "Which word is written on it?"
IDLE_SENTENCE = "This sentence says nothing about any image and asks for nothing. "
BYTES_PER_TOKEN = 4
PLAIN_QUESTION = "Write the word on the picture, and nothing else: no JSON."
PLAIN, LARGE = PROBED
"""Sizes of the picture of the probe that asks for JSON, as a run sends photos at low detail; and of
the large one, at high detail."""
CHECKED: dict[str, Any] = {
    "type": "object",
    "properties": {"word": {"type": "string"}, "checked": {"type": "string", "enum": ["yes"]}},
    "required": ["word", "checked"],
    "additionalProperties": False,
}
"""The schema of that probe. Its text does not name these fields."""
WORD_TOKENS = 30
"""What a word takes in a reply, with its number in JSON and some reasoning."""


class ProbeKind(StrEnum):
    ONE = "1 image"
    SEVERAL = "images"
    LONG = "long text"
    LARGE = "large"
    JSON = "JSON"


@dataclass(frozen=True)
class Probe:
    """One request. ``words``: on its pictures, in order; ``size``: of each, in pixels.
    ``asked``: how JSON is asked for, where that is not as a run asks."""

    kind: ProbeKind
    words: tuple[str, ...]
    size: Size
    detail: Detail
    leaf: Leaf
    asked: Structured | None = None

    @property
    def names(self) -> list[str]:
        """The pictures' names in ``body``, in order."""
        return list(self.leaf.contents.values())

    @property
    def body(self) -> Body:
        """The request, with ``names`` where the URLs of the pictures belong."""
        body = self.leaf.body(self.leaf.first(), self.names)
        return body if self.asked is None else body | response_format(self.asked, CHECKED)

    @property
    def parts(self) -> PromptParts | None:
        """What its prompt holds."""
        return parts_of(prompt_text(self.body), [self.size] * len(self.words), self.detail)

    @property
    def image_tokens(self) -> int:
        """Tokens of all its pictures as estimates count them."""
        one = self.leaf.context.image_tokens.of(*self.size, self.detail)
        return len(self.words) * one

    @property
    def prompt_tokens_most(self) -> int:
        return prompt_tokens(self.body, self.image_tokens)

    @property
    def text_tokens(self) -> int:
        """Tokens of its text, approximately."""
        return len(prompt_text(self.body).encode()) // BYTES_PER_TOKEN

    @property
    def prompt_tokens(self) -> int:
        """Tokens of its prompt, approximately."""
        return self.image_tokens + self.text_tokens

    @property
    def completion_tokens(self) -> int:
        """Tokens of its reply, approximately."""
        return WORD_TOKENS * (1 + len(self.words))

    def read(self, reply: Reply) -> tuple[bool, ...]:
        """Of each picture, whether the reply has its word, which stands nowhere else in the
        request."""
        said = reply.text.casefold()
        return tuple(word.casefold() in said for word in self.words)

    def json_mode(self, reply: Reply) -> Structured | None:
        """How JSON can be asked for, as a reply to the probe for it shows: by its schema, by JSON
        mode, or by the prompt alone. None if the reply does not tell."""
        if reply.is_empty or reply.finish_reason == "length":
            return None
        try:
            value = json.loads(reply.text)
        except ValueError:
            return "text"
        if not isinstance(value, dict):
            return "text"
        keeps_to_it = value.keys() == {"word", "checked"} and value["checked"] == "yes"
        return self.asked if keeps_to_it else "json_object"

    def in_form(self, reply: Reply) -> bool:
        """Whether the reply has each word under the number of its picture, in the form that was
        asked for."""
        values = self.leaf.read(self.leaf.first(), reply).values
        return all(
            word.casefold() in str(values.get(number, "")).casefold()
            for number, word in enumerate(self.words, 1)
        )


def probes(settings: Settings, learned: LearnedLimits, draw: random.Random) -> list[Probe]:
    """The probes for the settings' model, in the order in which they are asked. ``draw`` chooses
    the words. Where a request takes one image, there is none with several."""
    several = min(SEVERAL, _context(settings, learned, QUESTION).capacity.leaf.items)
    made = [_probe(ProbeKind.ONE, settings, learned, draw)]
    if several > 1:
        made.append(_probe(ProbeKind.SEVERAL, settings, learned, draw, count=several))
    made.append(_probe(ProbeKind.LONG, settings, learned, draw))
    made.append(_probe(ProbeKind.LARGE, settings, learned, draw, LARGE, "high"))
    made.append(_json_probe(settings, learned, draw))
    return made


def is_cut(read: Sequence[bool]) -> bool:
    """Whether the pictures that were not read stand together at the start or the end: then the
    server shows the model fewer. Others were misread."""
    missed = [place for place, is_read in enumerate(read) if not is_read]
    together = bool(missed) and missed[-1] - missed[0] + 1 == len(missed)
    return together and len(missed) < len(read) and (missed[0] == 0 or missed[-1] == len(read) - 1)


def _probe(
    kind: ProbeKind,
    settings: Settings,
    learned: LearnedLimits,
    draw: random.Random,
    size: Size = (SIDE, SIDE),
    detail: Detail = "low",
    count: int = 1,
) -> Probe:
    words = tuple(draw.sample(WORDS, count))
    question = QUESTION
    if kind is ProbeKind.LONG:
        idle = IDLE_SENTENCE * (_long_bytes(settings, learned) // len(IDLE_SENTENCE))
        question = f"{idle}\n{QUESTION}"
    context = _context(settings, learned, question, detail)
    return Probe(kind, words, size, detail, _leaf(context, words, size))


def _json_probe(settings: Settings, learned: LearnedLimits, draw: random.Random) -> Probe:
    """The probe for JSON, in the best way that the endpoint has not refused."""
    words = (draw.choice(WORDS),)
    context = _context(settings, learned, PLAIN_QUESTION, options=JobOptions(bare=True))
    asked = structured_in(settings.structured or "json_schema", learned.forms)
    leaf = _leaf(context, words, PLAIN)
    return Probe(ProbeKind.JSON, words, PLAIN, "low", leaf, asked)


def _context(
    settings: Settings,
    learned: LearnedLimits,
    question: str,
    detail: Detail = "low",
    options: JobOptions | None = None,
) -> RequestContext:
    """As a run's requests have it. ``options``: None asks each image."""
    return request_context(
        settings,
        question=question,
        model=settings.model,
        provider=settings.provider,
        endpoint=settings.endpoint,
        detail=detail,
        options=options or JobOptions(each=question, each_only=True),
        learned=learned,
    )


def _leaf(context: RequestContext, words: Sequence[str], size: Size) -> Leaf:
    contents = {n: f"word:{size}:{word}" for n, word in enumerate(words, start=1)}
    return leaf_of(context, {n: n for n in contents}, contents, True)


def _long_bytes(settings: Settings, learned: LearnedLimits) -> int:
    """Bytes of a text that takes as many tokens as the images of a run's largest request, and half
    of the context at most."""
    context = _context(settings, learned, QUESTION)
    images = context.capacity.leaf.items * context.tokens_most
    return min(images, context.capacity.context_tokens // 2) * BYTES_PER_TOKEN
