"""Where the tokens of a reply without a text went, and what to do about it."""

from __future__ import annotations

from core.reply import Reply


def why_empty(reply: Reply, max_tokens: int) -> str:
    """A sentence for people. ``max_tokens``: of the request."""
    if reply.instead:
        return (
            f"the model answers with {reply.instead}; turn tools off at the server, or set"
            " OVERSTORY_MODEL to another model"
        )
    spent = reply.usage.completion_tokens
    if reply.finish_reason == "length":
        return (
            f"{_reasoning(reply, spent)} took {spent:,} of max_tokens {max_tokens:,}; set"
            " OVERSTORY_REASONING_EFFORT=low, or more room with OVERSTORY_REASONING_TOKENS="
            f"{2 * max_tokens} (OVERSTORY_CONTEXT_TOKENS must be twice as much at least)"
        )
    reason = reply.finish_reason or "none"
    if reply.reasoning or reply.reasoning_tokens:
        tokens = reply.reasoning_tokens or spent
        return (
            f"reasoning took {tokens:,} tokens of max_tokens {max_tokens:,}, and then the model"
            f" ended (finish_reason {reason}); set OVERSTORY_REASONING_EFFORT=low, or"
            " OVERSTORY_MODEL to another model"
        )
    return (
        f"the model ended after {spent:,} tokens of max_tokens {max_tokens:,} (finish_reason"
        f" {reason}); check with 'overstory doctor' that it takes images, and the server's chat"
        " template"
    )


def _reasoning(reply: Reply, spent: int) -> str:
    """Some servers neither send nor count their reasoning."""
    shown = reply.reasoning or reply.reasoning_tokens >= spent > 0
    return "reasoning" if shown else "what is not sent, probably reasoning,"
