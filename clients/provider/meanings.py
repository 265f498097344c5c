"""What the texts of errors mean, whatever their status: tables of real servers' texts.

Servers and proxies say the same with 400, 404, 422, 429, 500 or inside a 200. Each row has the text
of a real server and where it was seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Meaning(StrEnum):
    """What an error is about."""

    KEY = "key"  # the API key is wrong, expired or missing
    UNPAID = "unpaid"  # no money is left, or a budget at the proxy is spent
    NO_SUCH_MODEL = "model"  # the endpoint does not know the model
    NO_IMAGES = "no_images"  # the model or the server takes no images at all
    BLOCKED = "blocked"  # the provider's moderation refused what was sent


@dataclass(frozen=True, slots=True)
class ErrorText:
    """A pattern for an error's kind and message, its meaning, and its source."""

    meaning: Meaning
    pattern: re.Pattern[str]
    source: str


def _row(meaning: Meaning, pattern: str, source: str) -> ErrorText:
    return ErrorText(meaning, re.compile(pattern, re.IGNORECASE), source)


KEY, UNPAID = Meaning.KEY, Meaning.UNPAID
NO_SUCH_MODEL, NO_IMAGES = Meaning.NO_SUCH_MODEL, Meaning.NO_IMAGES
BLOCKED = Meaning.BLOCKED

ERROR_TEXTS = (
    _row(UNPAID, r"budget_exceeded|budget has been exceeded|exceeded ?budget|over budget",
         "LiteLLM: BerriAI/litellm 14144, 20615"),
    _row(UNPAID, r"crossed budget|exceeded budget for", "LiteLLM's router: BerriAI/litellm 14144"),
    _row(UNPAID, r"insufficient[ _](?:account )?(?:credits|balance|funds)"
         r"|credit balance is too low",
         "OpenRouter, DeepSeek, Anthropic: their pages on errors; z.ai with 429: vercel/ai 9290"),
    _row(UNPAID, r"\bbalance is insufficient",
         "SiliconFlow with 403: FoundationAgents/OpenManus 438"),
    _row(UNPAID, r"\barrearage\b|account is in good standing|overdue account",
         "Alibaba with 400 and 403: hsliuping/TradingAgents-CN 170, RooCodeInc/Roo-Code 12309"),
    _row(UNPAID, r"\baccount .{0,99}is suspended",
         "Moonshot with 429: anomalyco/opencode 24462; Fireworks with 412: amd/gaia 3766"),
    _row(UNPAID, r"余额不足|已欠费",
         "Zhipu with 429: continuedev/continue 11823, langgenius/dify 5850"),
    _row(BLOCKED, r"rejected (?:as a result of|by) our safety system"
         r"|not allowed by our safety system|moderation_blocked",
         "OpenAI: RanFeng/clipsketch-ai 6, MobileLLM/ChainStream 43"),
    _row(BLOCKED, r"content management policy|ResponsibleAIPolicyViolation",
         "Azure: compl-ai/compl-ai 20"),
    _row(BLOCKED, r"data_?inspection_?failed|may contain inappropriate content",
         "Alibaba: QwenLM/Qwen-VL 290, QwenLM/qwen-code 3145"),
    _row(KEY, r"api[ _]key not valid|API_KEY_INVALID|api key expired",
         "Gemini's OpenAI endpoint: ai.google.dev/gemini-api/docs/troubleshooting"),
    _row(KEY, r"(?:incorrect|invalid|malformed|missing) (?:x-)?api[ _-]key|invalid_api_key",
         "OpenAI, StepFun, Anthropic: their pages on errors"),
    _row(KEY, r"no api key passed in|invalid proxy server token|token_not_found_in_db",
         "LiteLLM: BerriAI/litellm, proxy/auth/user_api_key_auth.py"),
    _row(KEY, r"no auth credentials found|invalid subscription key|authentication_error",
         "OpenRouter; Azure; Anthropic"),
    _row(NO_SUCH_MODEL, r"model_not_found|DeploymentNotFound|invalid model name passed in",
         "OpenAI; Azure; LiteLLM: BerriAI/litellm, proxy/route_llm_request.py"),
    _row(NO_SUCH_MODEL, r"model not exist|is not a valid model id", "DeepSeek; OpenRouter"),
    _row(NO_SUCH_MODEL, r"model [`'\"]?[^\s`'\"]{1,200}[`'\"]? (?:does not exist|not found)",
         "vLLM: vllm/entrypoints/openai; Ollama: server/routes.go"),
    _row(NO_SUCH_MODEL, r"models/[^\s]{1,200} is not found", "Gemini's OpenAI endpoint"),
    _row(NO_IMAGES, r"image input is not supported|provide the mmproj",
         "llama.cpp with status 500: xorbitsai/inference 5169"),
    _row(NO_IMAGES, r"no endpoints found that support image",
         "OpenRouter with status 404: aaif-goose/goose 5396"),
    _row(NO_IMAGES, r"(?:do(?:es)? not|doesn't|cannot) (?:support|accept|process|take)"
         r" (?:(?:any|the) )?(?:images?|image[ _]inputs?|image_url|vision|multimodal)\b",
         "LM Studio, Ollama, OpenAI and others: NousResearch/hermes-agent 23411"),
    _row(NO_IMAGES, r"is not a multi-?modal model", "vLLM, SGLang: vllm-project/vllm"),
    _row(NO_IMAGES, r"image_url is only supported by certain models",
         "OpenAI, Azure: their pages on vision"),
    _row(NO_IMAGES, r"unknown variant `?image_url`?", "DeepSeek: serde's text of an unknown part"),
    _row(NO_IMAGES, r"missing data required for image input", "Ollama: ollama/ollama, runner"),
)  # fmt: skip
"""In the order in which they are tried."""

CURES = {
    NO_IMAGES: "set OVERSTORY_MODEL to a model that takes images, or start the server with its"
    " vision part (llama.cpp: --mmproj)",
    NO_SUCH_MODEL: "set OVERSTORY_MODEL",
}

_PASSING = re.compile(
    r"internal|overload|unavailable|time[ds]? ?out|timeout|try again|retry|temporar|capacity|busy"
    r"|gateway|upstream|connect|reset by peer|out of memory|cuda|unknown error|went wrong|restart"
    r"|loading|shut|warming|rate|limit|provider returned error|server_?error|service",
    re.IGNORECASE,
)
"""Words of errors that pass by themselves. An error without one of them may last."""


def meaning_of(kind: str, message: str) -> Meaning | None:
    """What an error is about; None if no row knows it."""
    text = f"{kind} {message}"
    return next((row.meaning for row in ERROR_TEXTS if row.pattern.search(text)), None)


def seems_lasting(message: str) -> bool:
    """Whether an error says something of its own, and nothing that passes by itself."""
    return bool(message.strip()) and not _PASSING.search(message)
