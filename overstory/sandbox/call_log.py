"""The ledger of calls: an append-only JSONL file, and its sums.

A call has a ``start`` line and a ``reply`` line; uploads and deletes have one line each. A call is
paid when its 200 was written completely. A ``cut`` call was generated, but a fault cut the
connection. The client closed the connection of an ``abandoned`` call (status 499).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from overstory.sandbox.protocol.reply import Usage

ABANDONED = 499


@dataclass(slots=True)
class Call:
    """One running chat call. ``account`` is a hash of the API key; ``images`` are sha256 hashes.

    ``seen``: those of the images that the model sees. ``usage`` is what the server counts, whether
    or not the reply reports it.
    """

    id: str
    account: str
    model: str = ""
    request: str | None = None
    images: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    usage: Usage = field(default_factory=lambda: Usage(0, 0, 0))
    status: int = 500
    kind: str = ""  # of the refusal or the fault
    started: float | None = None


class Ledger:
    """Writes the lines and keeps the sums since the start or the last ``reset``."""

    def __init__(self, path: Path | None = None) -> None:
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None
        self.reset()

    def reset(self) -> None:
        """Set the sums to zero; lines already written stay."""
        self.replies: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.notices: Counter[str] = Counter()
        self.calls = self.paid = self.max_images = 0
        self._requests: set[bytes] = set()
        self._paid_requests: set[bytes] = set()

    def start(self, call: Call) -> None:
        """Record that ``call`` is admitted and its request is known."""
        call.started = time.time()
        self.calls += 1
        self.max_images = max(self.max_images, len(call.images))
        if call.request:
            self._requests.add(bytes.fromhex(call.request))
        self._write(
            "start",
            call,
            model=call.model,
            request=call.request,
            images=list(call.images),
            seen=list(call.seen),
            prompt_tokens=call.usage.prompt,
        )

    def reply(self, call: Call) -> None:
        """Record the end of ``call``, with or without a reply."""
        if call.started is None:
            self.start(call)
        self.replies[str(call.status)] += 1
        if call.kind:
            self.kinds[call.kind] += 1
        if call.status == 200 and call.kind not in ("cut", "raw"):
            self._pay(call)
        self._write(
            "reply",
            call,
            status=call.status,
            kind=call.kind,
            request=call.request,
            prompt_tokens=call.usage.prompt,
            cached_tokens=call.usage.cached,
            completion_tokens=call.usage.completion,
        )

    def note(self, event: str, account: str, **facts: object) -> None:
        """Write a line about a file: ``upload`` or ``delete``."""
        self._line({"event": event, "time": time.time(), "account": account} | facts)

    def close(self) -> None:
        if self._file:
            self._file.close()

    def stats(self) -> dict[str, Any]:
        """The sums. ``repeated_paid`` counts paid calls beyond the first of the same request."""
        return {
            "calls": self.calls,
            "paid": self.paid,
            "replies": dict(self.replies),
            "kinds": dict(self.kinds),
            "cut": self.kinds["cut"],
            "abandoned": self.replies[str(ABANDONED)],
            "distinct_requests": len(self._requests),
            "distinct_paid": len(self._paid_requests),
            "repeated_paid": self.paid - len(self._paid_requests),
            "max_images": self.max_images,
            "prompt_tokens": self.tokens["prompt"],
            "cached_tokens": self.tokens["cached"],
            "completion_tokens": self.tokens["completion"],
            "notices": dict(self.notices),
        }

    def _pay(self, call: Call) -> None:
        self.paid += 1
        self._paid_requests.add(bytes.fromhex(call.request or ""))
        self.tokens["prompt"] += call.usage.prompt
        self.tokens["cached"] += call.usage.cached
        self.tokens["completion"] += call.usage.completion

    def _write(self, event: str, call: Call, **facts: object) -> None:
        head = {"event": event, "id": call.id, "time": time.time(), "account": call.account}
        self._line(head | facts)

    def _line(self, facts: dict[str, Any]) -> None:
        if self._file:
            self._file.write(json.dumps(facts, separators=(",", ":")) + "\n")
            self._file.flush()
