"""``--schema``: a JSON Schema file, or a pydantic model as ``package.module:Model``."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import WrongUsage

Schema = dict[str, Any]


def load_schema(text: str) -> Schema:
    """The JSON Schema that ``answer.json`` or ``package.module:Model`` names. Raises WrongUsage."""
    module, colon, name = text.partition(":")
    if colon and name.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return schema_of(_attribute(module, name), text)
    return _read_file(Path(text))


def schema_of(model: Any, name: str = "schema") -> Schema:
    """The JSON Schema of a pydantic model; a dict is returned unchanged. Raises WrongUsage."""
    if isinstance(model, dict):
        return model
    if not hasattr(model, "model_json_schema"):
        raise WrongUsage(f"{name}: {model!r} is neither a JSON Schema nor a pydantic model")
    schema: Schema = model.model_json_schema()
    return schema


def _read_file(path: Path) -> Schema:
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WrongUsage(
            f"--schema {str(path)!r} cannot be read ({error.strerror}): name a JSON file, or a"
            " pydantic model like package.module:Model"
        ) from None
    except ValueError as error:
        raise WrongUsage(f"--schema {str(path)!r} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise WrongUsage(f"--schema {str(path)!r} must hold a JSON object, as JSON Schema does")
    return value


def _attribute(module: str, name: str) -> Any:
    """Import ``name``. The current folder is searched too."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise WrongUsage(f"--schema {module}:{name} cannot be imported: {error}") from None
