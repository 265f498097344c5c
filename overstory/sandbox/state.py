"""The state of a running sandbox: config, accounts, faults, decoder and ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from core.catalog.tiers import AccountLimits
from overstory.sandbox.account.file_store import FileStore
from overstory.sandbox.account.prompt_cache import PrefixCache
from overstory.sandbox.account.usage import AccountUsage
from overstory.sandbox.call_log import Ledger
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.errors import bad_key, no_balance, server_fault
from overstory.sandbox.faults import Faults, forced_429
from overstory.sandbox.line import Line
from overstory.sandbox.vision.decode import Decoder


class Account:
    """The account of one API key; ``name`` is a short hash of the key."""

    def __init__(self, key: str) -> None:
        self.name = sha256(key.encode()).hexdigest()[:12]
        self.usage = AccountUsage()
        self.files = FileStore()
        self.cache = PrefixCache()

    def stats(self) -> dict[str, object]:
        """The account's part of /_sandbox/stats."""
        files = {
            "uploads": self.files.uploads,
            "distinct_uploads": len(self.files.shas),
            "files": len(self.files),
            "deletes": self.files.deletes,
        }
        return self.usage.stats() | files


class SandboxState:
    """One sandbox. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        config: SandboxConfig,
        ledger: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.ledger = Ledger(ledger)
        self.decoder = Decoder()
        self.faults = Faults(config)
        self.unauthorized = 0
        self.line = Line(lambda: self.config.knee)
        self._accounts: dict[str, Account] = {}
        self._clock = clock

    def account(self, authorization: str) -> Account:
        """The account of an Authorization header. Raises Refusal 401."""
        scheme, _, key = authorization.strip().partition(" ")
        key, config = key.strip(), self.config
        listed = key in config.good_keys if config.good_keys else key not in config.bad_keys
        if scheme.lower() != "bearer" or not key or not listed or config.refuse_keys:
            self.unauthorized += 1
            raise bad_key()
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(key)
        return account

    def check_open(self, paid: bool = False) -> None:
        """Raises Refusal 503 during an outage, and 402 for paid calls without a balance."""
        if self.config.outage:
            raise server_fault(503)
        if paid and self.config.no_balance:
            raise no_balance()

    def check_always_429(self) -> None:
        """Raises Refusal 429 while ``always_429`` is on."""
        if self.config.always_429:
            raise forced_429(self.config)

    @contextmanager
    def slot(self, account: Account) -> Iterator[None]:
        """Hold one of the account's call slots. Raises Refusal 429."""
        config = self.config
        account.usage.enter(
            self._clock(), config.window_seconds, self._limits, config.rejected_count_toward_rpm
        )
        try:
            yield
        finally:
            account.usage.leave()

    def charge(self, account: Account, tokens: int) -> None:
        account.usage.charge(self._clock(), self.config.window_seconds, tokens, self._limits)

    def settle(self, account: Account, tokens: int) -> None:
        account.usage.settle(self._clock(), self.config.window_seconds, tokens)

    def configure(self, changes: dict[str, Any]) -> None:
        """Change the config; a new seed, script or rates restart the faults.

        Raises pydantic's ValidationError or core's WrongUsage, and then changes nothing.
        """
        self.config = self.config.changed(changes)
        if changes.keys() & {"seed", "script", "rates"}:
            self.faults = Faults(self.config)

    def reset(self) -> None:
        """Clear counts, windows and prompt caches; files stay."""
        self.ledger.reset()
        self.unauthorized = 0
        for account in self._accounts.values():
            in_flight = account.usage.in_flight
            account.usage, account.cache = AccountUsage(), PrefixCache()
            account.usage.in_flight = in_flight
            account.files.reset()

    def stats(self) -> dict[str, Any]:
        """Everything that was counted: by the ledger, in total, and for each account."""
        accounts = {account.name: account.stats() for account in self._accounts.values()}
        return (
            self.ledger.stats()
            | {"unauthorized": self.unauthorized}
            | _summed(list(accounts.values()))
            | {"accounts": accounts}
        )

    def close(self) -> None:
        self.decoder.close()
        self.ledger.close()

    @property
    def _limits(self) -> AccountLimits | None:
        config = self.config
        return config.limits if config.enforce_limits and config.knee is None else None


def _summed(accounts: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all accounts: the maximum of the peaks, and the sum of the counts."""
    names = ("max_in_flight", "max_requests_window", "max_admitted_window", "max_tokens_window")
    peaks = {name: max((stats[name] for stats in accounts), default=0) for name in names}
    counts = {
        name: sum(stats[name] for stats in accounts)
        for name in ("in_flight", "uploads", "distinct_uploads", "files", "deletes")
    }
    refused = {
        kind: sum(stats["refused_429"].get(kind, 0) for stats in accounts)
        for kind in ("concurrency", "rpm", "tpm")
    }
    return peaks | counts | {"refused_429": refused}
