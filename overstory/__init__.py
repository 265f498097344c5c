"""Overstory answers questions about image sets of any size through a vision model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overstory.client import Client

__all__ = ["Client", "__version__"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """``overstory.Client`` is loaded when it is asked for: the command line needs none of it."""
    if name == "Client":
        from overstory.client import Client

        return Client
    raise AttributeError(f"module 'overstory' has no attribute {name!r}")
