"""From a request and its pictures to the text of the answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from overstory.sandbox.account.prompt_cache import BYTES_PER_TOKEN
from overstory.sandbox.answers import unsure, words
from overstory.sandbox.answers.citations import groups, notes_of
from overstory.sandbox.answers.json_schema import asks_json, wanted_schema
from overstory.sandbox.answers.json_value import fill
from overstory.sandbox.answers.malformed import reply_text
from overstory.sandbox.answers.observation import Observation
from overstory.sandbox.answers.observed import Observed, observed_in_notes, observed_in_pictures
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.protocol.request import ChatRequest
from overstory.sandbox.vision.decode import Picture

Groups = dict[str, tuple[tuple[Observation, ...], str]]
JSON_MODE = {"type": "json_object"}
NOTHING = "No image and no note was given, so there is nothing to describe."


def compose(
    request: ChatRequest,
    pictures: Sequence[Picture],
    seen: int,
    budget_tokens: int,
    config: SandboxConfig,
) -> str:
    """The answer to ``request``, from the pixels of its first ``seen`` pictures or from its notes.

    ``budget_tokens`` is what is left for content; only a summary of notes tries to fit it.
    """
    instruction = request.instruction
    observed = _observed(request, pictures, seen, config)
    if pictures and unsure.is_asked(instruction):
        name = request.model.name
        observed = replace(
            observed,
            known=unsure.marked(observed.known, name, config),
            one_by_one=unsure.marked(observed.one_by_one, name, config),
        )
    room = budget_tokens * BYTES_PER_TOKEN if config.summary_cites == "fit" else None
    refuses_lines = config.no_lines_above is not None and len(pictures) > config.no_lines_above
    if request.response_format or asks_json(instruction):
        return _as_json(request, observed, refuses_lines, room and room // 4, config)
    if refuses_lines:
        return _sentence(observed)
    if pictures:
        return _about_pictures(observed, instruction)
    if not observed.known:
        return NOTHING
    return words.summarise(observed.known, words.question_in(instruction), room)


def _observed(
    request: ChatRequest, pictures: Sequence[Picture], seen: int, config: SandboxConfig
) -> Observed:
    texts = request.user_texts
    if not pictures:
        return observed_in_notes(notes_of(texts), config)
    return observed_in_pictures("\n".join(texts), pictures, seen, request.model.tires, config)


def _about_pictures(observed: Observed, instruction: str) -> str:
    """Lines for the images; if ``instruction`` asks for a ruled line, the answer stands below."""
    question, lines = words.question_in(instruction), words.lines_of(observed.one_by_one)
    if not observed.known and not lines:
        return NOTHING
    if not words.asks_rule(instruction):
        return words.describe(observed.known, question, lines)
    answer = words.summarise(observed.known, question, None) if observed.known else NOTHING
    return "\n".join([*lines, words.RULE, answer])


def _sentence(observed: Observed) -> str:
    return words.overview(observed.known) if observed.known else NOTHING


def _groups(request: ChatRequest, observed: Observed) -> Groups:
    """What is known of each group of images that the instruction asks about."""
    known = {observation.marker: observation for observation in observed.known}
    scopes = {
        key: tuple(known[marker] for marker in markers if marker in known)
        for key, markers in groups(request.instruction).items()
    }
    return {
        key: (scope, words.grouped(scope, None) if scope else NOTHING)
        for key, scope in scopes.items()
    }


def _as_json(
    request: ChatRequest,
    observed: Observed,
    refuses_lines: bool,
    room: int | None,
    config: SandboxConfig,
) -> str:
    known = observed.known
    if config.wrong_schema:
        return json.dumps({"unexpected": [observation.marker for observation in known]})
    text = words.grouped(known, room) if known else NOTHING
    prompt = "\n".join(text for turn in request.turns for text in turn.texts)
    schema = wanted_schema(request.response_format or JSON_MODE, prompt)
    value: Any = {"answer": text}
    if schema is not None:
        value = fill(schema, known, text, observed.one_by_one, _groups(request, observed))
    if isinstance(value, dict) and any(key.isdecimal() for key in value):
        silent = {str(number) for number in observed.silent}
        value = {key: part for key, part in value.items() if key not in silent}
        if unsure.KEY in value:
            value[unsure.KEY] = unsure.unclear_entries(value, observed.one_by_one)
        value = {"answer": _sentence(observed)} if refuses_lines else value
    return reply_text(value, known, config)
