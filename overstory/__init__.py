"""Overstory answers questions about image sets of any size through a vision model.

This is the public Python API: ``Client``, what its methods take, return and raise, and
``__version__``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.errors import OverstoryError, ServiceAway, WrongUsage
    from core.settings import Settings
    from core.states import JobStatus
    from overstory.client import Client, Event, Status, load_settings

__all__ = [
    "Client",
    "Event",
    "JobStatus",
    "OverstoryError",
    "ServiceAway",
    "Settings",
    "Status",
    "WrongUsage",
    "__version__",
    "load_settings",
]
__version__ = "0.2.0"

_MODULES = {
    **dict.fromkeys(("OverstoryError", "ServiceAway", "WrongUsage"), "core.errors"),
    "JobStatus": "core.states",
    "Settings": "core.settings",
    **dict.fromkeys(("Client", "Event", "Status", "load_settings"), "overstory.client"),
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use: the command line imports this package and needs none."""
    if name not in _MODULES:
        raise AttributeError(f"module 'overstory' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
