"""Whether the service answers, and what keeps its jobs from going on."""

from __future__ import annotations

import threading
import time
from typing import Any

from fastapi import APIRouter

from overstory import __version__
from overstory.local.hindrances import nobody_works
from tasks.runtime.services import Services

ASK_AGAIN_SECONDS = 5.0
"""Everybody may ask, and each look at the workers goes through the broker."""


class Health:
    """``/api/health``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looking = threading.Lock()
        self._trouble = ""
        self._due = 0.0

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api", tags=["service"])
        routes.get("/health")(self.health)
        return routes

    def health(self) -> dict[str, Any]:
        """Whether the service answers; `trouble` says what keeps its jobs from going on."""
        with self._services.database.read():
            pass
        return {"ok": True, "version": __version__, "trouble": self.trouble() or None}

    def trouble(self) -> str:
        """Why no worker can be working at this moment; empty if one answered lately."""
        if time.monotonic() >= self._due and self._looking.acquire(blocking=False):
            try:
                self._trouble = nobody_works(self._services.settings)
                self._due = time.monotonic() + ASK_AGAIN_SECONDS
            finally:
                self._looking.release()
        return self._trouble
