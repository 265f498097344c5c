"""Every way the sandbox says no: an HTTP status, a type and a message (fact sheet 6)."""

from __future__ import annotations


class Refusal(Exception):
    """The request is answered with ``{"error": {"message", "type"}}`` and ``status``."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, kind, message)
        self.status = status
        self.kind = kind
        self.message = message

    @property
    def envelope(self) -> dict[str, dict[str, str]]:
        """The JSON body of the reply: no ``code`` and no ``param``."""
        return {"error": {"message": self.message, "type": self.kind}}


def wrong_param(message: str) -> Refusal:
    """400 for a parameter that breaks a documented rule."""
    return Refusal(400, "request_params_invalid", message)


def wrong_input(message: str) -> Refusal:
    """400 for an image that cannot be used."""
    return Refusal(400, "input_invalid", message)


def bad_key() -> Refusal:
    """401: the key is empty, listed as bad, or not listed as good."""
    return Refusal(401, "invalid_api_key", "Incorrect API key provided")


def no_balance() -> Refusal:
    """402: the account is out of money."""
    return Refusal(
        402,
        "quota_exceeded",
        "You exceeded your current quota, please check your plan and billing details",
    )


def not_found(what: str) -> Refusal:
    """404: no such path, file or model."""
    return Refusal(404, "not_found", f"{what} not found")


def rate_limited(what: str, current: int, limit: int) -> Refusal:
    """429 in the words third parties recorded; ``what`` is how the text names the limit."""
    return Refusal(429, "rate_limited", f"{what} reached, current: {current}, limit: {limit}")


def moderated() -> Refusal:
    """451: the request or its answer failed moderation; the same request always does."""
    return Refusal(
        451,
        "censorship_blocked",
        "The content you provided or machine outputted is blocked.",
    )


def server_fault(status: int) -> Refusal:
    """500, 503 or 504; their types are not documented, these are ours."""
    words = {500: "internal_error", 503: "service_unavailable", 504: "gateway_timeout"}
    return Refusal(status, words[status], words[status].replace("_", " "))
