"""What the checks examine: the settings, and clients that are built when first needed.

Each service has a client of its own here, so that one broken client does not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import OverstoryError, ServiceAway, WrongUsage
from core.settings import Settings, load
from models.engine import Connection, Database
from overstory.doctor.secrets import secrets_of
from overstory.local.servers.shared import with_running_sandbox
from workers.endpoints import Stack, database_url, read_stack

if TYPE_CHECKING:  # importing workers.app reads the settings, which may be invalid
    from clients.provider.client import Provider
    from tasks.runtime.services import Services
    from workers.app import OverstoryCelery

CONNECT_SECONDS = 5.0


class AskedOnce(Database):
    """A database that is not asked again once it has not answered: half a dozen checks read it, and
    each would wait for the timeout."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._away: ServiceAway | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        if self._away is not None:
            raise self._away
        try:
            with super().read() as connection:
                yield connection
        except ServiceAway as error:
            self._away = error
            raise


@dataclass
class Context:
    """The settings, or in ``wrong`` why they are invalid; then ``settings`` must not be used."""

    environ: Mapping[str, str]
    options: Mapping[str, Path] = field(default_factory=dict)  # of the command line
    parsed: Settings | None = None
    wrong: str | None = None

    @classmethod
    def examine(cls, environ: Mapping[str, str], home: Path | None = None) -> Context:
        """Read the settings. The first check reports what is wrong with them."""
        options = {"home": home} if home else {}
        try:
            return cls(environ, options, load(**options))
        except (WrongUsage, ValueError) as error:  # a list that is not valid JSON is a ValueError
            return cls(environ, options, wrong=str(error).removeprefix("wrong setting: "))

    @property
    def settings(self) -> Settings:
        assert self.parsed is not None, "checks that need settings run only if they are valid"
        return self.parsed

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no output line may hold."""
        return secrets_of(self.environ, self.parsed)

    @cached_property
    def stack(self) -> Stack | None:
        """The embedded stack according to its stack file; None if there is none."""
        return None if self.settings.broker_url else read_stack(self.settings.home)

    @cached_property
    def reached(self) -> Settings:
        """The settings that a run would use now, with the URL of a running sandbox."""
        seconds = min(self.settings.connect_timeout_seconds, CONNECT_SECONDS)
        changes = {"connect_timeout_seconds": seconds}
        return with_running_sandbox(self.settings).model_copy(update=changes)

    @cached_property
    def app(self) -> OverstoryCelery:
        from workers.app import make_app

        return make_app(self.settings)

    @cached_property
    def database(self) -> Database:
        return AskedOnce(database_url(self.settings))

    @cached_property
    def provider(self) -> Provider:
        from clients.provider.client import Provider

        return Provider(self.reached, max_connections=1)

    @cached_property
    def services(self) -> Services:
        from workers.services import build_services

        return build_services(self.reached, self.app, patient=False)

    @cached_property
    def broker_answers(self) -> OverstoryError | None:
        """None if the broker answers and takes what Overstory needs, else the error."""
        from workers.broker_health import check_broker

        try:
            check_broker(self.settings)
        except OverstoryError as error:
            return error
        return None

    @cached_property
    def has_endpoint(self) -> bool:
        """False if a run would start the sandbox and none is running."""
        return not self.reached.uses_sandbox

    @cached_property
    def models(self) -> list[str] | OverstoryError:
        """The models that the endpoint lists, or the error. Requested once; costs nothing."""
        try:
            return self.provider.models()
        except OverstoryError as error:
            return error

    def close(self) -> None:
        """Close every client that was built."""
        opened = self.__dict__
        if "database" in opened:
            self.database.dispose()
        if "provider" in opened:
            self.provider.close()
        if "services" in opened:
            self.services.close()
