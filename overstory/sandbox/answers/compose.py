"""From a request and its pictures to the text of the answer."""

from __future__ import annotations

import json
from collections.abc import Sequence

from overstory.sandbox.account.prompt_cache import BYTES_PER_TOKEN
from overstory.sandbox.answers import words
from overstory.sandbox.answers.citations import notes_of
from overstory.sandbox.answers.json_schema import asks_json, wanted_schema
from overstory.sandbox.answers.json_value import fill
from overstory.sandbox.answers.malformed import reply_text
from overstory.sandbox.answers.observation import INVENTED, Observation, from_notes, from_pictures
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.protocol.request import ChatRequest
from overstory.sandbox.vision.decode import Picture

JSON_MODE = {"type": "json_object"}
NOTHING = "No image and no note was given, so there is nothing to describe."


def compose(
    request: ChatRequest, pictures: Sequence[Picture], budget_tokens: int, config: SandboxConfig
) -> str:
    """The answer to ``request``, from the pixels of its pictures or from its notes.

    ``budget_tokens`` is what is left for content; only a summary of notes tries to fit it.
    """
    texts = [text for turn in request.turns if turn.role == "user" for text in turn.texts]
    observations = _observations(texts, pictures, config.false_citations)
    question = words.question_in(texts[-1] if texts else "")
    room = budget_tokens * BYTES_PER_TOKEN if config.summary_cites == "fit" else None
    if request.response_format or asks_json(texts):
        return _as_json(request, observations, room and room // 4, config)
    if not observations:
        return NOTHING
    if pictures:
        return words.describe(observations, question)
    return words.summarise(observations, question, room)


def _observations(
    texts: list[str], pictures: Sequence[Picture], with_invented: bool
) -> list[Observation]:
    if pictures:
        described = [picture.description for picture in pictures]
        observations = from_pictures("\n".join(texts), described)
    else:
        observations = from_notes(notes_of(texts))
    return [*observations, INVENTED] if with_invented else observations


def _as_json(
    request: ChatRequest, observations: list[Observation], room: int | None, config: SandboxConfig
) -> str:
    if config.wrong_schema:
        return json.dumps({"unexpected": [observation.marker for observation in observations]})
    text = words.grouped(observations, room) if observations else NOTHING
    prompt = "\n".join(text for turn in request.turns for text in turn.texts)
    schema = wanted_schema(request.response_format or JSON_MODE, prompt)
    value = fill(schema, observations, text) if schema is not None else {"answer": text}
    return reply_text(value, observations, config)
