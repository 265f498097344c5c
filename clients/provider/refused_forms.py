"""Refusals of a part of a request: which part, and the form of the request that avoids it.

Each row has the text of a real server and where it was seen. Servers say it with 400, 422 and 500,
and inside a 200.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.errors import RequestForm

STATUSES = frozenset({200, 400, 404, 415, 422, 500, 501})

_NO = (
    r"(?:n(?:ot (?:be )?(?:supported?|permitted|allowed|available|enabled)|[o']t support)"
    r"|un(?:supported|available|known|recognized|expected)|deprecated|invalid"
    r"|extra(?: inputs| fields|_forbidden))"
)
"""How servers say that they do not take something."""


@dataclass(frozen=True, slots=True)
class FormText:
    """A pattern for an error's kind and message, the form that avoids it, and its source.
    ``(?P<most>...)``: the number that the text names."""

    form: RequestForm
    pattern: re.Pattern[str]
    source: str


def _row(form: RequestForm, pattern: str, source: str) -> FormText:
    pattern = pattern.replace("NUMBER", r"`?(?P<most>\d{1,9})(?!\d)")
    return FormText(form, re.compile(pattern.replace("NO", _NO), re.IGNORECASE), source)


F = RequestForm

FORM_TEXTS = (
    _row(F.COMPLETION_TOKENS, r"use '?max_completion_tokens",
         "OpenAI, Azure: teilomillet/gollm 33, anomalyco/opencode 37964"),
    _row(F.COMPLETION_TOKENS, r"max_tokens\W{1,3}(?:is |are )?NO"
         r"|(?:parameter|argument|field|inputs?|supplied)\W{1,4}max_tokens\b",
         "OpenAI-compatible servers that know the new name alone"),
    _row(F.NO_MAX_TOKENS, r"max_completion_tokens\W{1,3}(?:is |are )?NO"
         r"|(?:parameter|argument|field|supplied)\W{1,4}max_completion_tokens",
         "servers that know neither name: microsoft/vscode-copilot-release 8065"),
    _row(F.REPLY_TOKENS, r"max_(?:completion_)?tokens is too large.{0,99}at most NUMBER",
         "OpenAI: community.openai.com, 'max_tokens is too large'"),
    _row(F.REPLY_TOKENS, r"max_(?:completion_)?tokens.{0,20}must be less than or equal to NUMBER",
         "Groq: console.groq.com"),
    _row(F.REPLY_TOKENS, r"valid range of max_tokens is \[\d{1,3}, ?NUMBER",
         "DeepSeek: api-docs.deepseek.com"),
    _row(F.REPLY_TOKENS, r"max_tokens: \d{1,9} > NUMBER",
         "Anthropic through proxies: BerriAI/litellm"),
    _row(F.NO_TEMPERATURE, r"temperature.{0,30}NO|NO.{0,30}\btemperature\b",
         "OpenAI: \"'temperature' does not support 0 with this model\"; Anthropic: deprecated"),
    _row(F.NO_TEMPERATURE, r"temperature.{0,30}(?:only|must be|has to be|strictly positive)",
         "Kimi: 'only 1 is allowed'; text-generation-inference: 'strictly positive'"),
    _row(F.NO_SYSTEM, r"system role (?:is )?NO|role.{0,20}(?:NO|does not support) '?system",
         "Gemma's template: sgl-project/sglang 892; OpenAI o1: tailcallhq/forgecode 1177"),
    _row(F.NO_SYSTEM, r"developer instruction is NO", "Gemma at Gemini's endpoint"),
    _row(F.NO_SYSTEM, r"(?:invalid|unexpected|unknown|unsupported) (?:msg )?role:? ?'?system",
         "StepFun's form of it; Mistral's templates"),
    _row(F.NO_SYSTEM, r"conversation roles must alternate",
         "Mistral's and Llava's templates: EricLBuehler/mistral.rs 45"),
    _row(F.NO_JSON_SCHEMA, r"json_schema\W{0,3}.{0,30}NO|NO.{0,30}json_schema|invalid schema for"
         r" response_format|structured outputs? (?:is|are) NO",
         "OpenAI (gpt-4-turbo), Groq, StepFun"),
    _row(F.NO_JSON_SCHEMA, r"this response_format type is NO", "DeepSeek"),
    _row(F.NO_RESPONSE_FORMAT, r"response_format\W{0,3}.{0,30}(?:NO|must be)|NO.{0,30}"
         r"response_format|json_object\W{0,3}.{0,30}NO|json mode is NO",
         "LM Studio: lmstudio-ai/lmstudio-bug-tracker 307; Gemma at Gemini's endpoint"),
    _row(F.NO_REASONING_EFFORT, r"reasoning_effort.{0,30}NO|NO.{0,30}reasoning_effort"
         r"|does not support thinking",
         "OpenAI (gpt-4o), Ollama: ollama/ollama, server/routes.go"),
    _row(F.INLINE, r"must be a base64|only base64|base64[- ]encoded images? (?:is|are) (?:required|"
         r"supported)|image urls? (?:is|are) NO|remote images? (?:is|are) NO",
         "LM Studio: \"'url' field must be a base64 encoded image\"; Bedrock proxies"),
    _row(F.INLINE, r"unsupported image url|url scheme.{0,30}NO|invalid image input",
         "Kimi: 'unsupported image url'; Ollama: 'invalid image input'"),
    _row(F.JPEG, r"webp.{0,12}NO|NO.{0,30}webp|(?:unsupported|invalid) image (?:format|type)"
         r"|only (?:jpe?g|png).{0,20}(?:jpe?g|png)",
         "LM Studio, llama.cpp (stb_image reads no WebP), vLLM without libwebp"),
    _row(F.NO_DETAIL, r"image_url\W{1,9}detail|invalid detail|\bdetail\b\W{1,3}(?:is )?NO"
         r"|(?:parameter|argument|field|name)\W{1,4}detail\b",
         "Mistral and others that check each field"),
)  # fmt: skip
"""In the order in which they are tried."""


def form_in(status: int, kind: str, message: str) -> tuple[RequestForm, int | None] | None:
    """The form that avoids a refusal, and the number that it names; None of any other error."""
    if status not in STATUSES:
        return None
    text = f"{kind} {message}"
    for row in FORM_TEXTS:
        if (match := row.pattern.search(text)) is not None:
            most = match.groupdict().get("most")
            return row.form, None if most is None else int(most)
    return None
