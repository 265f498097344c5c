"""Endpoints that many people use, for ``overstory init``. Others are named by their URL.

The URLs are those of each provider's page about its OpenAI-compatible API, and the usual ports of
servers on one's own machine, as of 2026-11-29.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.catalog.models import ProviderName


@dataclass(frozen=True, slots=True)
class KnownEndpoint:
    """``keys``: the page where a key is made; None for a server that usually needs no key."""

    name: str
    label: str
    base_url: str
    keys: str | None = None
    provider: ProviderName = "openai"


ENDPOINTS = (
    KnownEndpoint(
        "stepfun", "StepFun", "https://api.stepfun.ai/v1", "platform.stepfun.ai", "stepfun"
    ),
    KnownEndpoint(
        "stepfun-cn", "StepFun, China", "https://api.stepfun.com/v1", "platform.stepfun.com",
        "stepfun",
    ),
    KnownEndpoint(
        "openai", "OpenAI", "https://api.openai.com/v1", "platform.openai.com/api-keys"
    ),
    KnownEndpoint(
        "anthropic", "Anthropic", "https://api.anthropic.com/v1", "platform.claude.com"
    ),
    KnownEndpoint(
        "google", "Google Gemini", "https://generativelanguage.googleapis.com/v1beta/openai",
        "aistudio.google.com/apikey",
    ),
    KnownEndpoint("mistral", "Mistral", "https://api.mistral.ai/v1", "console.mistral.ai"),
    KnownEndpoint(
        "openrouter", "OpenRouter", "https://openrouter.ai/api/v1", "openrouter.ai/settings/keys"
    ),
    KnownEndpoint("vllm", "vLLM on this machine", "http://localhost:8000/v1"),
    KnownEndpoint("ollama", "Ollama on this machine", "http://localhost:11434/v1"),
    KnownEndpoint("llama.cpp", "llama.cpp on this machine", "http://localhost:8080/v1"),
    KnownEndpoint("lm-studio", "LM Studio on this machine", "http://localhost:1234/v1"),
)  # fmt: skip
NAMES = tuple(one.name for one in ENDPOINTS)


def endpoint_named(name: str) -> KnownEndpoint:
    return next(one for one in ENDPOINTS if one.name == name)


def endpoint_at(base_url: str) -> KnownEndpoint:
    """The known endpoint with this URL, or another one that a person named."""
    url = base_url.rstrip("/")
    other = KnownEndpoint("other", base_url, base_url)
    return next((one for one in ENDPOINTS if one.base_url == url), other)
