"""Turns error responses into our errors: one table of what the providers' texts mean.

Section numbers refer to the fact sheet of StepFun's API (6: Errors).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2

from clients.provider.meanings import CURES, Meaning, meaning_of, seems_lasting
from clients.provider.refused_forms import form_in
from clients.provider.replies import json_or_none
from clients.provider.request_limits import limit_in
from core.errors import (
    AccountPaused,
    EndpointRefused,
    FileGone,
    FileStoreFull,
    FormRefused,
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
    """(kind, message, whether it was an error object) of an error response in any format.

    StepFun sends ``{"error": {"message", "type"}}``. Others add a ``code``, which is more specific
    if it is a word (OpenAI: type invalid_request_error, code context_length_exceeded). The error
    may be at the top level (vLLM), a string (llama.cpp) or an HTML page (any proxy).
    """
    body = json_or_none(response.content)
    if isinstance(body, list) and body:  # Gemini's OpenAI endpoint
        body = body[0]
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        page = storable(response.text)
        text = error if isinstance(error, str) else re.sub(r"<[^<>]*>|\s+", " ", page)
        return (
            f"http_{response.status_code}",
            " ".join(text.split()) or response.reason_phrase,
            False,
        )
    kind, message, _ = read_error(error, str(response.status_code))
    return kind, message or response.reason_phrase, True


def read_error(error: object, status: str) -> tuple[str, str, bool]:
    """(kind, message, whether it says anything) of an error object, or of one that is a text."""
    if isinstance(error, str):
        return f"http_{status}", error, bool(error.strip())
    if not isinstance(error, dict):
        return f"http_{status}", "", False
    code, kind = error.get("code"), error.get("type")
    name = code if isinstance(code, str) and not code.isdigit() else kind
    message = error.get("message") or error.get("detail") or ""
    return str(name or kind or f"http_{status}"), str(message), bool(message)


_STATUS_OF_KIND = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "insufficient_quota": 402,
    "not_found_error": 404,
    "model_not_found": 404,
    "invalid_request_error": 400,
    "BadRequestError": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 503,
    "server_error": 503,
}
"""Kinds of errors as OpenAI, Anthropic and vLLM name them, for errors inside a 200."""


def status_in(error: object) -> int | None:
    """The HTTP status that an error inside a 200 stands for, by its code or kind; None if it names
    none."""
    if not isinstance(error, dict):
        return None
    for name in ("code", "status", "status_code", "type"):
        value = error.get(name)
        if isinstance(value, str) and value in _STATUS_OF_KIND:
            return _STATUS_OF_KIND[value]
        if re.fullmatch(r"[45]\d\d", str(value)):
            return int(str(value))
    return None


def retry_after_of(response: httpx2.Response) -> float | None:
    """Seconds of a Retry-After header: a number, or a date relative to the reply's Date header."""
    value = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return float(value)
    try:
        until, now = (parsedate_to_datetime(v) for v in (value, response.headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


def limits_in(response: httpx2.Response) -> str:
    """The headers that tell limits of the account, a line each: those of OpenAI, which Azure and
    others send too, and those of Anthropic."""
    told = [
        f"{name}: {value}"
        for name, value in sorted(response.headers.items())
        if name == "retry-after" or name.startswith(("x-ratelimit-", "anthropic-ratelimit-"))
    ]
    return "\n".join(told)


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """A parsed error response: its request, status, kind and message.

    ``structured``: it was an error object, not the page of a web server.
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
_FILE_ID = re.compile(r"stepfile://([\w-]+)|\b(file-(?=[\w-]{0,40}[A-Z0-9])\w[\w-]{5,})")


def error_of(error: ErrorResponse, where: str, model: str) -> OverstoryError:
    """Our error for one error response. The first match wins."""
    meaning = meaning_of(error.kind, error.message) if error.structured else None
    if error.status == 451 or _MODERATION.search(error.kind) or meaning is Meaning.BLOCKED:
        return RequestRefused(error.status, error.kind, error.message + where, True)
    if error.path == "/files" and _is_store_full(error):
        return FileStoreFull(f"the provider's file store is full: {error.message}{where}")
    if error.status == 402 or error.kind in _UNPAID or meaning is Meaning.UNPAID:
        return AccountPaused(f"the provider wants payment: {error.message}{where}")
    if error.status in (401, 403) or meaning is Meaning.KEY:
        return KeyRefused(_key_text(error) + where)
    if error.status == 429:
        return _slow_down(error)
    if (
        error.path == CHAT
        and error.structured
        and (form := form_in(error.status, error.kind, error.message))
    ):
        return FormRefused(error.status, error.kind, error.message + where, *form)
    if error.path == CHAT and (limit := limit_in(error.status, error.kind, error.message)):
        return TooMuch(error.status, error.kind, error.message + where, *limit)
    if error.path == CHAT and meaning in CURES:
        message = f"{error.message}{where}; {CURES[meaning]} (now {model})"
        return EndpointRefused(error.status, error.kind, message)
    if error.status >= 500 or error.status in _DOWN:
        return _down(error, where)
    return _refused(error, where, model)


def _down(error: ErrorResponse, where: str) -> ProviderDown:
    text = f"{error.status} {error.kind}: {error.message}{where}"
    if error.status in (408, 504):
        text = f"the endpoint ran into a timeout ({text})"
    lasting = error.status == 500 and error.structured and seems_lasting(error.message)
    return ProviderDown(text, True, error.status, lasting)


def _refused(error: ErrorResponse, where: str, model: str) -> OverstoryError:
    if _is_file_gone(error):
        named = _FILE_ID.search(error.message)
        return FileGone(error.message + where, named and (named[1] or named[2]))
    return RequestRefused(error.status, error.kind, error.message + _advice(error, model) + where)


def _is_store_full(error: ErrorResponse) -> bool:
    """StepFun does not document the 1,001st file's error. We take a 4xx that mentions a limit but
    not a size."""
    text = f"{error.kind} {error.message}"
    names_limit = bool(_FULL_WORD.search(text)) and not _SIZE_WORD.search(text)
    return error.method == "POST" and error.status in (400, 403, 409, 422, 507) and names_limit


def _is_file_gone(error: ErrorResponse) -> bool:
    """An unknown stepfile's error is not documented either. We take a message that names a file
    and says that it is missing."""
    if error.status not in (400, 404, 410, 422) or not error.structured:
        return False  # a web server also answers "File not found" to a wrong path
    if error.path != CHAT and not error.path.startswith("/files/"):
        return False
    text = f"{error.kind} {error.message}" if "file" in error.kind.lower() else error.message
    named = "stepfile" in text.lower() or _FILE_ID.search(text)
    lost = named or (_FILE_WORD.search(text) and _GONE_WORD.search(text))
    return bool(lost) and not _OTHER_WORD.search(text)


def _slow_down(error: ErrorResponse) -> SlowDown:
    kind, _current, limit = parse_429(error.message)
    # a slot becomes free when a call ends, so the account need not rest for a minute (LiteLLM)
    retry_after = None if kind is LimitKind.CONCURRENCY else error.retry_after
    return SlowDown(kind, limit, error.message, retry_after)


def _key_text(error: ErrorResponse) -> str:
    return (
        f"the API key was refused ({error.status}: {error.message}); check OVERSTORY_API_KEY, "
        "and that it belongs to the region of OVERSTORY_BASE_URL"
    )


def _advice(error: ErrorResponse, model: str) -> str:
    if 300 <= error.status < 400:
        return "; we do not follow redirects, to protect the key: set OVERSTORY_BASE_URL"
    if error.status != 404 or error.path != CHAT:
        return ""
    if "model" in f"{error.kind} {error.message}".lower():
        return f"; check OVERSTORY_MODEL (now {model})"
    return (
        "; check that OVERSTORY_BASE_URL is the URL before /chat/completions "
        f"(most end in /v1), and OVERSTORY_MODEL (now {model})"
    )


_KINDS = (
    # LiteLLM (proxy/hooks/parallel_request_limiter_v3.py) names others in the same text
    (LimitKind.CONCURRENCY, re.compile(r"limit type: ?max_parallel", re.IGNORECASE)),
    (LimitKind.TPM, re.compile(r"limit type: ?tokens", re.IGNORECASE)),
    (LimitKind.RPM, re.compile(r"limit type: ?requests", re.IGNORECASE)),
    (LimitKind.UNKNOWN, re.compile(r"\b(rpd|tpd)\b|per[ _-]?day", re.IGNORECASE)),
    (LimitKind.CONCURRENCY, re.compile(r"concurren|in[ -]flight|parallel", re.IGNORECASE)),
    (LimitKind.TPM, re.compile(r"\btpm\b|tokens?[ _-]?per", re.IGNORECASE)),
    (LimitKind.RPM, re.compile(r"\brpm\b|requests?[ _-]?per", re.IGNORECASE)),
)
_CURRENT = re.compile(r"\b(?:current|used)\b[\s:=]*(\d[\d,_]{0,14})", re.IGNORECASE)
_LIMIT = re.compile(r"\b(?:limit|max(?:imum)?)\b(?: is| of)?[\s:=]*(\d[\d,_]{0,14})", re.IGNORECASE)


def parse_429(message: str) -> tuple[LimitKind, int | None, int | None]:
    """(kind, current, limit) from the text of a 429; UNKNOWN and None for what it does not state.

    Reads the texts of section 5 and others that name a kind and ``limit N``. A daily limit is
    UNKNOWN: our window is too short for it.
    """
    kind = next((kind for kind, pattern in _KINDS if pattern.search(message)), LimitKind.UNKNOWN)
    return kind, _number(_CURRENT, message), _number(_LIMIT, message)


def _number(pattern: re.Pattern[str], message: str) -> int | None:
    match = pattern.search(message)
    return int(re.sub(r"[,_]", "", match[1])) if match else None
