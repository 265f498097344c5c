"""Overstory for agents: an MCP server, by stdio (``overstory mcp``) and at ``/mcp`` of the API."""

from __future__ import annotations

INSTALL = "pip install 'overstory[mcp]'"
"""The SDK is an extra, because it brings a dozen packages."""
