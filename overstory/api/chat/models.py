"""The models that may be asked: the service's own, and those that its endpoint lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from anyio import to_thread

from core.errors import OverstoryError
from core.settings import Settings
from core.text.printable import quotable
from overstory.api.openai_errors import Refusal
from tasks.runtime.services import Services

LISTED_SECONDS = 60.0
"""For so long a list of the endpoint's is used again."""
ANSWER_SECONDS = 10.0
NAMES_SHOWN = 10
log = structlog.get_logger()


class Models:
    """The models of a service. ``ask`` lists those of the endpoint; may raise OverstoryError."""

    def __init__(self, settings: Settings, ask: Callable[[], list[str]]) -> None:
        self._settings = settings
        self._ask = ask
        self._asking = asyncio.Lock()  # one question for all that wait for it
        self._listed: list[str] = []
        self._until = 0.0

    async def names(self) -> list[str]:
        """The service's own model first."""
        return list(dict.fromkeys([self._settings.model, *await self._of_endpoint()]))

    async def check(self, model: str) -> None:
        """Raises Refusal if the endpoint has no such model. An endpoint that lists none is asked by
        the job."""
        if model == self._settings.model:
            return
        listed = await self._of_endpoint()
        if listed and model not in listed:
            known = (await self.names())[:NAMES_SHOWN]
            raise Refusal(
                f"model: {quotable(model, 100)!r} does not exist at"
                f" {self._settings.endpoint}: ask {', '.join(known)} (GET /v1/models lists all)",
                "model",
                "model_not_found",
                HTTPStatus.NOT_FOUND,
            )

    def card(self, model: str) -> dict[str, Any]:
        """One model, as OpenAI describes it."""
        return {
            "id": model,
            "object": "model",
            "created": 0,
            "owned_by": self._settings.provider,
        }

    async def _of_endpoint(self) -> list[str]:
        async with self._asking:
            if time.monotonic() > self._until:
                try:
                    self._listed = list(filter(None, await to_thread.run_sync(self._ask)))
                except OverstoryError as error:
                    log.warning("chat.models_unknown", error=str(error))
                self._until = time.monotonic() + LISTED_SECONDS
            return self._listed


def models_of(services: Services) -> Models:
    return Models(services.settings, lambda: services.provider.models(ANSWER_SECONDS))
