"""Refusals that name what one request may hold: images, tokens or bytes.

Each row has the text of a real server and where it was seen. ``(?P<most>...)`` is the limit, where
the text has it; a text that only says "too many" names none, and the limit is found by halving.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.errors import RequestPart

STATUSES = frozenset({200, 400, 413, 422, 500})
"""llama.cpp and some proxies say it with 500 or inside a 200; any other status is about something
else."""

_NUMBER = r"(?P<most>\d[\d,_]{0,14})(?!\d)"
"""A longer number is not a limit. The text of an endpoint is foreign: no part is unbounded."""


@dataclass(frozen=True, slots=True)
class LimitText:
    """A pattern for an error's kind and message, what it limits, and its source. ``most``: the
    limit, where the text has it in words."""

    part: RequestPart
    pattern: re.Pattern[str]
    source: str
    most: int | None = None


def _row(part: RequestPart, pattern: str, source: str, most: int | None = None) -> LimitText:
    compiled = re.compile(pattern.replace("NUMBER", _NUMBER), re.IGNORECASE)
    return LimitText(part, compiled, source, most)


IMAGES, TOKENS, BYTES = RequestPart.IMAGES, RequestPart.TOKENS, RequestPart.BYTES

LIMIT_TEXTS = (
    _row(IMAGES, r"at most NUMBER image\(?s?\)? may be provided", "vLLM: vllm-project/vllm 13513"),
    _row(IMAGES, r"you set image=NUMBER", "vLLM before 0.7: xorbitsai/inference 3054"),
    _row(IMAGES, r"supports? a maximum of NUMBER images", "Copilot proxy: microsoft/vscode 303825"),
    _row(IMAGES, r"too many images in (?:the )?request\.? max(?:imum)? is NUMBER",
         "OpenAI: the-open-agent/openagent 874"),
    _row(IMAGES, r"too many images[^.]{0,99}max(?:imum)? allowed is NUMBER",
         "QuantumNous/new-api 1233"),
    _row(IMAGES, r"maximum number of images \(NUMBER\)", "Azure: Azure/azure-rest-api-specs 46145"),
    _row(IMAGES, r"maximum of NUMBER (?:images )?allowed per request", "CommandCodeAI/desktop 64"),
    _row(IMAGES, r"too many images and documents: \d{1,9} \+ \d{1,9} > NUMBER",
         "Anthropic: anthropics/claude-code 24541"),
    _row(IMAGES, r"too much media:.{0,99}images > NUMBER",
         "Anthropic: anthropics/claude-code 24541"),
    _row(IMAGES, r"(?:supports?|accepts?|allows?|takes?) (?:only )?(?:a single|one|1) image"
         r"|only (?:a single|one|1) image|multiple images are not supported",
         "Ollama (llama3.2-vision, with status 500), llava servers: ollama/ollama 7938", 1),
    _row(IMAGES, r"supports? up to NUMBER images", "Groq: console.groq.com/docs/vision"),
    _row(IMAGES, r"images_too_(?:many|may)\b|too many images", "StepFun: fact sheet 6; names none"),
    _row(TOKENS, r"n_ctx\W{1,9}NUMBER", "llama.cpp: ggml-org/llama.cpp 15780"),
    _row(TOKENS, r"exceed_context_size|exceeds the available context size",
         "llama.cpp: ggml-org/llama.cpp 15780"),
    _row(TOKENS, r"maximum context length (?:is|of) NUMBER tokens",
         "OpenAI, vLLM: langchain-ai/langchain 11001"),
    _row(TOKENS, r"exceed context window of NUMBER",
         "llama-cpp-python: run-llama/llama_index 8046"),
    _row(TOKENS, r"prompt is too long: \d{1,9} tokens > NUMBER maximum",
         "Anthropic, LiteLLM: entropy-research/Devon 88"),
    _row(TOKENS, r"input token count.{0,99} exceeds the maximum number of tokens allowed \(?NUMBER",
         "Gemini: google-gemini/gemini-cli 11507"),
    _row(TOKENS, r"longer than the model's context length \(?NUMBER tokens",
         "SGLang: sgl-project/sglang, tokenizer manager"),
    _row(TOKENS, r"context_length_exceeded|ContextWindowExceeded|prompt is too long",
         "OpenAI, LiteLLM: BerriAI/litellm exception mapping; names none"),
    _row(BYTES, r"request_too_large|request entity too large|exceeds the maximum size",
         "Anthropic: earendil-works/pi 401; nginx; names none"),
)  # fmt: skip
"""In the order in which they are tried: texts that name the limit come first."""


def limit_in(status: int, kind: str, message: str) -> tuple[RequestPart, int | None] | None:
    """What one request may hold, and how much, as a refusal says it; None if it says neither."""
    if status not in STATUSES:
        return None
    text = f"{kind} {message}"
    for row in LIMIT_TEXTS:
        if (match := row.pattern.search(text)) is not None:
            named = match.groupdict().get("most")
            return row.part, int(re.sub(r"[,_]", "", named)) if named else row.most
    return (RequestPart.BYTES, None) if status == 413 else None
