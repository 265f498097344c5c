"""Error responses as this package's errors: one table of what each provider's texts mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2

from clients.provider.replies import json_or_none
from clients.provider.request_limits import limit_in
from core.errors import (
    AccountPaused,
    FileGone,
    FileStoreFull,
    KeyRefused,
    LimitKind,
    OverstoryError,
    ProviderDown,
    RequestRefused,
    SlowDown,
    TooMuch,
)
from core.text.sanitize import storable

CHAT = "/chat/completions"


def read_envelope(response: httpx2.Response) -> tuple[str, str, bool]:
    """(kind, message, whether it was an error object) of an error response, whatever its shape.

    ``{"error": {"message", "type"}}`` is StepFun's; others add a ``code``, which is the narrower
    word where it is one (OpenAI: type invalid_request_error, code context_length_exceeded), send
    the error at the top level (vLLM), as a string (llama.cpp), or an HTML page (any proxy).
    """
    body = json_or_none(response.content)
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        page = storable(response.text)
        text = error if isinstance(error, str) else re.sub(r"<[^>]*>|\s+", " ", page)
        return (
            f"http_{response.status_code}",
            " ".join(text.split()) or response.reason_phrase,
            False,
        )
    code, kind = error.get("code"), error.get("type")
    word = code if isinstance(code, str) and not code.isdigit() else kind
    message = error.get("message") or error.get("detail") or response.reason_phrase
    return str(word or kind or f"http_{response.status_code}"), str(message), True


def retry_after_of(response: httpx2.Response) -> float | None:
    """Seconds of a Retry-After header: a number, or a date read against the reply's own date."""
    value = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        until, now = (parsedate_to_datetime(v) for v in (value, response.headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error response, read: the request it answers, its status, kind and message.

    ``structured``: it was an error object, and not some web server's page.
    """

    method: str
    path: str
    status: int
    kind: str
    message: str
    structured: bool
    retry_after: float | None


_DOWN = {408, 409, 425}  # and every 5xx
_UNPAID = {"quota_exceeded", "insufficient_quota", "billing_hard_limit_reached"}
_MODERATION = re.compile(r"censorship|content_filter|content_policy|moderation", re.I)
_FILE_WORD = re.compile(r"stepfile|\bfile[-_ ]?(id|not)|\bfiles?\b|文件", re.I)
_GONE_WORD = re.compile(
    r"not[-_ ]?(found|exist)|n[o']t (find|exist)|no such|unknown|invalid|expired|deleted|missing"
    r"|no longer|gone|permission|access|不存在|未找到|过期|无效|找不到",
    re.I,
)
_OTHER_WORD = re.compile(
    r"format|\bsize|large|small|corrupt|unsupported|decod|not an image|pixel|animated|\btype\b",
    re.I,
)
_FULL_WORD = re.compile(r"limit|quota|exceed|maximum|too many|full|上限|超", re.I)
_SIZE_WORD = re.compile(r"\b(size|large|bytes|\d+ ?[kmg]i?b)\b|大小", re.I)
_FILE_ID = re.compile(r"stepfile://([\w-]+)|\b(file-(?=[\w-]*[A-Z0-9])\w[\w-]{5,})")


def error_of(said: ErrorResponse, where: str, model: str) -> OverstoryError:
    """The decision for one error response: a table, read from the top."""
    if said.status == 451 or _MODERATION.search(said.kind):
        return RequestRefused(said.status, said.kind, said.message + where, True)
    if said.path == "/files" and _says_store_full(said):
        return FileStoreFull(f"the provider's file store is full: {said.message}{where}")
    if said.status == 402 or said.kind in _UNPAID:
        return AccountPaused(f"the provider wants payment: {said.message}{where}")
    if said.status in (401, 403) or said.kind == "invalid_api_key":
        return KeyRefused(_key_text(said) + where)
    if said.status == 429:
        return _slow_down(said)
    if said.path == CHAT and (limit := limit_in(said.status, said.kind, said.message)):
        return TooMuch(said.status, said.kind, said.message + where, *limit)
    if said.status >= 500 or said.status in _DOWN:
        return ProviderDown(f"{said.status} {said.kind}: {said.message}{where}", True, said.status)
    return _refused_as_it_stands(said, where, model)


def _refused_as_it_stands(said: ErrorResponse, where: str, model: str) -> OverstoryError:
    if _says_file_gone(said):
        found = _FILE_ID.search(said.message)
        return FileGone(said.message + where, found and (found[1] or found[2]))
    return RequestRefused(said.status, said.kind, said.message + _advice(said, model) + where)


def _says_store_full(said: ErrorResponse) -> bool:
    """The 1,001st file's error is not documented: a 4xx that speaks of a limit, but of no size."""
    text = f"{said.kind} {said.message}"
    speaks = bool(_FULL_WORD.search(text)) and not _SIZE_WORD.search(text)
    return said.method == "POST" and said.status in (400, 403, 409, 422, 507) and speaks


def _says_file_gone(said: ErrorResponse) -> bool:
    """An unknown stepfile's error is not documented either: a file is named, and it is lost."""
    if said.status not in (400, 404, 410, 422) or not said.structured:
        return False  # "File not found" is also what a web server says of a wrong path
    if said.path != CHAT and not said.path.startswith("/files/"):
        return False
    text = f"{said.kind} {said.message}" if "file" in said.kind.lower() else said.message
    named = "stepfile" in text.lower() or _FILE_ID.search(text)
    lost = named or (_FILE_WORD.search(text) and _GONE_WORD.search(text))
    return bool(lost) and not _OTHER_WORD.search(text)


def _slow_down(said: ErrorResponse) -> SlowDown:
    kind, _current, limit = parse_429(said.message)
    return SlowDown(kind, limit, said.message, said.retry_after)


def _key_text(said: ErrorResponse) -> str:
    return (
        f"the API key was refused ({said.status}: {said.message}); check OVERSTORY_API_KEY, and "
        "that it was made for the region of OVERSTORY_BASE_URL"
    )


def _advice(said: ErrorResponse, model: str) -> str:
    if 300 <= said.status < 400:
        return "; the endpoint redirects, which is not followed with a key: set OVERSTORY_BASE_URL"
    if said.status != 404 or said.path != CHAT:
        return ""
    if "model" in f"{said.kind} {said.message}".lower():
        return f"; check OVERSTORY_MODEL (now {model})"
    return (
        "; check that OVERSTORY_BASE_URL is the address before /chat/completions "
        f"(most end in /v1), and OVERSTORY_MODEL (now {model})"
    )


_KINDS = (
    (LimitKind.UNKNOWN, re.compile(r"\b(rpd|tpd)\b|per[ _-]?day", re.IGNORECASE)),
    (LimitKind.CONCURRENCY, re.compile(r"concurren|in[ -]flight|parallel", re.IGNORECASE)),
    (LimitKind.TPM, re.compile(r"\btpm\b|tokens?[ _-]?per", re.IGNORECASE)),
    (LimitKind.RPM, re.compile(r"\brpm\b|requests?[ _-]?per", re.IGNORECASE)),
)
_CURRENT = re.compile(r"\b(?:current|used)\b[\s:=]*(\d[\d,_]*)", re.IGNORECASE)
_LIMIT = re.compile(r"\b(?:limit|max(?:imum)?)\b(?: is| of)?[\s:=]*(\d[\d,_]*)", re.IGNORECASE)


def parse_429(message: str) -> tuple[LimitKind, int | None, int | None]:
    """(kind, current, limit) as a 429's text has them; UNKNOWN and None for what it does not say.

    The texts of fact sheet 5, and others that name a kind and ``limit N``. A limit a day is
    UNKNOWN: no window of ours can keep it.
    """
    kind = next((kind for kind, words in _KINDS if words.search(message)), LimitKind.UNKNOWN)
    return kind, _number(_CURRENT, message), _number(_LIMIT, message)


def _number(pattern: re.Pattern[str], message: str) -> int | None:
    found = pattern.search(message)
    return int(re.sub(r"[,_]", "", found[1])) if found else None
