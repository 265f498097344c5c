"""What the checks look at: settings, and clients that are built when a check first needs one.

Each part has a client of its own here, so that one that cannot be built hides no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import OverstoryError, ServiceAway, WrongUsage
from core.settings import SANDBOX, Settings, load
from models.engine import Database
from overstory.doctor.secrets import secrets_of
from workers.endpoints import Stack, database_url, read_stack

if TYPE_CHECKING:  # importing workers.app reads the settings, which may be what is wrong
    from clients.provider.client import Provider
    from tasks.runtime.services import Services
    from workers.app import OverstoryCelery

CONNECT_SECONDS = 5.0


@dataclass
class Context:
    """Settings as they are; ``settings`` may be asked for only where ``wrong`` is None."""

    environ: Mapping[str, str]
    given: Mapping[str, Path] = field(default_factory=dict)  # options of the command line
    parsed: Settings | None = None
    wrong: str | None = None

    @classmethod
    def examine(cls, environ: Mapping[str, str], home: Path | None = None) -> Context:
        """Read the settings; what is wrong with them is for the first check to tell."""
        given = {"home": home} if home else {}
        try:
            return cls(environ, given, load(**given))
        except (WrongUsage, ValueError) as error:  # a list that is no JSON is a ValueError
            return cls(environ, given, wrong=str(error).removeprefix("wrong setting: "))

    @property
    def settings(self) -> Settings:
        assert self.parsed is not None, "checks that need settings run only where there are some"
        return self.parsed

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What no line may hold."""
        return secrets_of(self.environ, self.parsed)

    @cached_property
    def stack(self) -> Stack | None:
        """The embedded stack that is said to be up, where the broker is embedded."""
        return None if self.settings.broker_url else read_stack(self.settings.home)

    @cached_property
    def reached(self) -> Settings:
        """The settings as a run would use them now: of a sandbox that is up, with its address."""
        changes: dict[str, object] = {
            "connect_timeout_seconds": min(self.settings.connect_timeout_seconds, CONNECT_SECONDS)
        }
        if self.settings.uses_sandbox and self.stack and self.stack.sandbox_url:
            changes |= {"base_url": self.stack.sandbox_url, "endpoint_name": SANDBOX}
        return self.settings.model_copy(update=changes)

    @cached_property
    def app(self) -> OverstoryCelery:
        from workers.app import make_app

        return make_app(self.settings)

    @cached_property
    def database(self) -> Database:
        return Database(database_url(self.settings))

    @cached_property
    def provider(self) -> Provider:
        from clients.provider.client import Provider

        return Provider(self.reached, max_connections=1)

    @cached_property
    def services(self) -> Services:
        from workers.services import build_services

        return build_services(self.reached, self.app)

    @cached_property
    def broker_answers(self) -> OverstoryError | None:
        """None when the broker answers; else why not. For a broker that is said to be up."""
        from kombu.exceptions import OperationalError

        try:
            with self.app.connection_for_read() as connection:
                connection.ensure_connection(
                    max_retries=1, interval_start=0, timeout=CONNECT_SECONDS
                )
        except (OperationalError, OSError, ValueError, LookupError, ImportError) as error:
            return ServiceAway(str(error) or type(error).__name__)
        return None

    @cached_property
    def has_endpoint(self) -> bool:
        """False where a run would start the sandbox, and none is up."""
        return not self.reached.uses_sandbox

    @cached_property
    def models(self) -> list[str] | OverstoryError:
        """The models the endpoint names, or why it does not. Asked once; costs nothing."""
        try:
            return self.provider.models()
        except OverstoryError as error:
            return error

    def close(self) -> None:
        """Let go of what was opened."""
        opened = self.__dict__
        if "database" in opened:
            self.database.dispose()
        if "provider" in opened:
            self.provider.close()
        if "services" in opened:
            self.services.close()
