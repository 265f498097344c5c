"""From a request and its pictures to the text of the answer."""

from __future__ import annotations

import json
from collections.abc import Sequence

from overstory.sandbox.account.prompt_cache import BYTES_PER_TOKEN
from overstory.sandbox.answers import observation, words
from overstory.sandbox.answers.citations import notes_of
from overstory.sandbox.answers.json_schema import asks_json, wanted_schema
from overstory.sandbox.answers.json_value import fill
from overstory.sandbox.answers.malformed import told
from overstory.sandbox.answers.observation import Observation
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.protocol.request import ChatRequest
from overstory.sandbox.vision.decode import Picture

JSON_MODE = {"type": "json_object"}
NOTHING = "No image and no note was given, so there is nothing to describe."


def compose(
    ask: ChatRequest, pictures: Sequence[Picture], budget_tokens: int, config: SandboxConfig
) -> str:
    """The answer to ``ask``, from the pixels of its pictures or from its notes.

    ``budget_tokens`` is what is left for content; only a summary of notes tries to fit it.
    """
    texts = [text for turn in ask.turns if turn.role == "user" for text in turn.texts]
    sights = _sights(texts, pictures, config.false_citations)
    question = words.question_in(texts[-1] if texts else "")
    room = budget_tokens * BYTES_PER_TOKEN if config.summary_cites == "fit" else None
    if ask.response_format or asks_json(texts):
        return _as_json(ask, sights, room and room // 4, config)
    if not sights:
        return NOTHING
    if pictures:
        return words.describe(sights, question)
    return words.summarise(sights, question, room)


def _sights(texts: list[str], pictures: Sequence[Picture], lie: bool) -> list[Observation]:
    if pictures:
        sights = observation.seen("\n".join(texts), [picture.look for picture in pictures])
    else:
        sights = observation.noted(notes_of(texts))
    return [*sights, observation.INVENTED] if lie else sights


def _as_json(
    ask: ChatRequest, sights: list[Observation], room: int | None, config: SandboxConfig
) -> str:
    if config.wrong_schema:
        return json.dumps({"unexpected": [sight.marker for sight in sights]})
    text = words.grouped(sights, room) if sights else NOTHING
    prompt = "\n".join(text for turn in ask.turns for text in turn.texts)
    schema = wanted_schema(ask.response_format or JSON_MODE, prompt)
    value = fill(schema, sights, text) if schema is not None else {"answer": text}
    return told(value, sights, config)
