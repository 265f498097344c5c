"""All refusals of the sandbox: an HTTP status, a type and a message (fact sheet 6)."""

from __future__ import annotations


class Refusal(Exception):
    """The reply is ``{"error": {"message", "type"}}`` with HTTP ``status``."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, kind, message)
        self.status = status
        self.kind = kind
        self.message = message

    @property
    def envelope(self) -> dict[str, dict[str, str]]:
        return {"error": {"message": self.message, "type": self.kind}}


def wrong_param(message: str) -> Refusal:
    """400 for a parameter that breaks a documented rule."""
    return Refusal(400, "request_params_invalid", message)


def wrong_input(message: str) -> Refusal:
    return Refusal(400, "input_invalid", message)


def bad_key() -> Refusal:
    """401: the key is empty, a bad key, or not one of the good keys."""
    return Refusal(401, "invalid_api_key", "Incorrect API key provided")


def no_balance() -> Refusal:
    """402: the account has no balance."""
    return Refusal(
        402,
        "quota_exceeded",
        "You exceeded your current quota, please check your plan and billing details",
    )


def not_found(what: str) -> Refusal:
    """404: the path, file or model does not exist."""
    return Refusal(404, "not_found", f"{what} not found")


def rate_limited(what: str, current: int, limit: int) -> Refusal:
    """429 with the text that third parties recorded; ``what`` names the limit in it."""
    return Refusal(429, "rate_limited", f"{what} reached, current: {current}, limit: {limit}")


def moderated() -> Refusal:
    """451: the request or its answer failed moderation. The same request always fails."""
    return Refusal(
        451,
        "censorship_blocked",
        "The content you provided or machine outputted is blocked.",
    )


def server_fault(status: int) -> Refusal:
    """500, 503 or 504. Their types are not documented; these are ours."""
    kinds = {500: "internal_error", 503: "service_unavailable", 504: "gateway_timeout"}
    return Refusal(status, kinds[status], kinds[status].replace("_", " "))
