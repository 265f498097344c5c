"""An agent of the person at this machine: the service of their state folder does the jobs."""

from __future__ import annotations

import threading

from anyio import to_thread

from core.errors import ServiceAway, WrongUsage
from core.settings import Settings
from overstory.api.mcp.agents import Agent, OwnAgent
from overstory.local.home import prepare_command
from overstory.local.preflight import check_sandbox_is_wanted
from overstory.local.servers.shared import with_running_sandbox
from overstory.local.stack import served_by
from workers.app import make_app
from workers.endpoints import broker_address, read_stack
from workers.services import account_of, build_services


class OwnAgents:
    """Makes an agent when it is first needed, and another one after the service has moved."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._agent: OwnAgent | None = None
        self._made_for: object = None

    async def agent(self, request: object = None) -> Agent:
        """Raises WrongUsage, ServiceAway: no service is up."""
        return await to_thread.run_sync(self._current)

    def close(self) -> None:
        if self._agent is not None:
            self._agent.services.close()

    def _current(self) -> OwnAgent:
        settings = self._settings
        check_sandbox_is_wanted(settings)
        if settings.broker_url is None and served_by(settings.home) is None:
            raise ServiceAway(
                f"no service is up for {settings.home}, so nobody would do the job: start one with"
                " 'overstory up --detach', then repeat the call"
            )
        settings = with_running_sandbox(settings)
        self._check_account(settings)
        made_for = (settings, broker_address(settings).url())
        with self._lock:
            if self._agent is None or made_for != self._made_for:
                self.close()
                prepare_command(settings)
                self._agent = OwnAgent(build_services(settings, make_app(settings)))
                self._made_for = made_for
            return self._agent

    def _check_account(self, settings: Settings) -> None:
        """A job of another account would wait for ever. Raises WrongUsage."""
        stack = read_stack(settings.home) if settings.broker_url is None else None
        if stack is not None and stack.service_account != account_of(settings):
            raise WrongUsage(
                f"the service of {settings.home} was started with another API key or endpoint than"
                " this command: 'overstory init' writes down one for both, or give the key in the"
                " 'env' of the agent's configuration"
            )
