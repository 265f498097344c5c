"""What each parameter of a chat completion means here: honoured, ignored or refused.

docs/openai.md has this table for users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.text.printable import quotable
from overstory.api.openai_errors import Refusal


class Rule(StrEnum):
    HONOURED = "honoured"
    IGNORED = "ignored"  # the answer is right without it
    REFUSED = "refused"  # the answer would be another one than was asked for


@dataclass(frozen=True, slots=True)
class Parameter:
    """``why``: what becomes of it, for users. ``harmless``: values of a refused parameter that ask
    for nothing; null always does."""

    names: tuple[str, ...]
    rule: Rule
    why: str
    harmless: tuple[Any, ...] = ()


PARAMETERS = (
    Parameter(
        ("model",), Rule.HONOURED, "a name of `GET /v1/models`; others are 404 `model_not_found`"
    ),
    Parameter(
        ("messages",),
        Rule.HONOURED,
        "images and the question: texts of `system` and `developer` come before those of `user`",
    ),
    Parameter(
        ("response_format",),
        Rule.HONOURED,
        "`text`, `json_schema`: code merges the answers of all images. `json_object` is refused:"
        " without a schema nothing says how to merge",
    ),
    Parameter(
        ("stream", "stream_options"),
        Rule.HONOURED,
        "progress as comments, then the answer; `include_usage` adds the chunk with the usage",
    ),
    Parameter(("overstory",), Rule.HONOURED, "options of our own, see below"),
    Parameter(
        ("metadata",),
        Rule.HONOURED,
        "its entry `overstory`: our options as JSON text, for clients that send no other field; the"
        " other entries are ignored",
    ),
    Parameter(
        ("max_tokens", "max_completion_tokens"),
        Rule.IGNORED,
        "each request is given room for a line about each of its images. The most that may be spent"
        " is `budget`",
    ),
    Parameter(
        (
            *("temperature", "top_p", "top_k", "min_p", "seed"),
            *("presence_penalty", "frequency_penalty", "repetition_penalty"),
        ),
        Rule.IGNORED,
        "temperature is 0: the same request is the same job with the same answer",
    ),
    Parameter(
        ("reasoning_effort", "verbosity", "service_tier", "prediction"),
        Rule.IGNORED,
        "they change the cost and the speed, and the settings of the service decide on those",
    ),
    Parameter(
        (
            *("user", "safety_identifier", "store", "parallel_tool_calls"),
            *("prompt_cache_key", "prompt_cache_retention"),
        ),
        Rule.IGNORED,
        "bookkeeping of OpenAI's",
    ),
    Parameter(("n",), Rule.REFUSED, "a job has one answer", (1,)),
    Parameter(
        ("tools", "tool_choice", "functions", "function_call"),
        Rule.REFUSED,
        "no function is called: for structured output give `response_format`",
        ([], "none", "auto"),
    ),
    Parameter(
        ("logprobs", "top_logprobs", "logit_bias"),
        Rule.REFUSED,
        "an answer about many images is not one sequence of tokens",
        (False, 0, {}),
    ),
    Parameter(("stop",), Rule.REFUSED, "it would cut the lines about images", ([], "")),
    Parameter(
        ("modalities", "audio", "web_search_options"),
        Rule.REFUSED,
        "an answer is text, and comes from the images alone",
        (["text"],),
    ),
)
_BY_NAME = {name: parameter for parameter in PARAMETERS for name in parameter.names}


def check(values: Mapping[str, Any]) -> None:
    """Raises Refusal for a parameter that is unknown, or whose value would not be honoured."""
    for name, value in values.items():
        parameter = _BY_NAME.get(name)
        if parameter is None:
            shown = quotable(name, 60)
            raise Refusal(
                f"{shown}: there is no such parameter; options of our own belong in 'overstory'",
                shown,
                "unknown_parameter",
            )
        if parameter.rule is Rule.REFUSED and not _is_harmless(value, parameter.harmless):
            why = parameter.why.replace("`", "")
            raise Refusal(f"{name}: leave it out: {why}", name, "unsupported_parameter")


def _is_harmless(value: Any, harmless: tuple[Any, ...]) -> bool:
    return value is None or any(value == least and type(value) is type(least) for least in harmless)


def table() -> str:
    """The table of docs/openai.md."""
    lines = ["| parameter | | |", "|---|---|---|"]
    for parameter in PARAMETERS:
        names = ", ".join(f"`{name}`" for name in parameter.names)
        lines.append(f"| {names} | {parameter.rule} | {parameter.why} |")
    return "\n".join(lines)
