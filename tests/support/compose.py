"""docker-compose.yml as a test needs it: every service's words, environment and health check.

Read as Compose reads it: anchors, merges, ``${NAME:-default}``, ``${NAME:?message}``, ``$$``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
VENDORS = ("VALKEY", "POSTGRES", "FLOWER")
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<word>[^}]*))?\})")


@dataclass(frozen=True)
class Service:
    """One service with its variables filled in."""

    name: str
    command: list[str]
    environment: dict[str, str]
    health: list[str] | None
    raw: dict[str, Any]


def load(values: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file as one dict; ``values`` fill its variables where given."""
    data: dict[str, Any] = YAML(typ="safe").load(FILE.read_text("utf-8"))
    return data if values is None else _filled(data, values)


def services(values: Mapping[str, str]) -> dict[str, Service]:
    found = load(values)["services"]
    return {name: _service(name, raw, values) for name, raw in found.items()}


def env_file(path: Path) -> dict[str, str]:
    """NAME=value lines of an .env file."""
    lines = [line for line in path.read_text("utf-8").splitlines() if re.match(r"\w+=", line)]
    return dict(line.split("=", 1) for line in lines)


def example() -> dict[str, str]:
    """.env.example with the passwords that a person sets."""
    passwords = {f"{name}_PASSWORD": f"a-{name}-word".lower() for name in VENDORS}
    return env_file(ROOT / ".env.example") | passwords


def _service(name: str, raw: dict[str, Any], values: Mapping[str, str]) -> Service:
    given = raw.get("environment", {})
    handed_on = {
        key: values[key] for key, value in given.items() if value is None and key in values
    }
    environment = {key: str(value) for key, value in given.items() if value is not None} | handed_on
    test = raw.get("healthcheck", {}).get("test")
    command = [str(word) for word in raw.get("command", [])]  # none: the image's own
    return Service(name, command, environment, _health(test), raw)


def _health(test: list[str] | None) -> list[str] | None:
    if test is None:
        return None
    return ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else [str(word) for word in test[1:]]


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    return VARIABLE.sub(lambda m: _word(m, values), value) if isinstance(value, str) else value


def _word(match: re.Match[str], values: Mapping[str, str]) -> str:
    if match["name"] is None:
        return "$"
    given = values.get(match["name"], "")
    if given or match["kind"] is None:
        return given
    if match["kind"] == "?":
        raise KeyError(f"{match['name']}: {match['word']}")
    return str(match["word"])
