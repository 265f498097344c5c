"""``--schema``: a JSON file, or a pydantic model by its path."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import WrongUsage

Schema = dict[str, Any]


def load_schema(given: str) -> Schema:
    """The JSON Schema of ``answer.json`` or ``package.module:Model``. Raises WrongUsage."""
    module, colon, name = given.partition(":")
    if colon and name.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return schema_of(_attribute(module, name), given)
    return _of_file(Path(given))


def schema_of(model: Any, name: str = "schema") -> Schema:
    """The JSON Schema of a pydantic model, or ``model`` itself where it is one already."""
    if isinstance(model, dict):
        return model
    if not hasattr(model, "model_json_schema"):
        raise WrongUsage(f"{name}: {model!r} is neither a JSON Schema nor a pydantic model")
    made: Schema = model.model_json_schema()
    return made


def _of_file(path: Path) -> Schema:
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WrongUsage(
            f"--schema {str(path)!r} cannot be read ({error.strerror}): name a JSON file, or a"
            " pydantic model like package.module:Model"
        ) from None
    except ValueError as error:
        raise WrongUsage(f"--schema {str(path)!r} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise WrongUsage(f"--schema {str(path)!r} is no JSON Schema: its top must be an object")
    return value


def _attribute(module: str, name: str) -> Any:
    """Modules are looked for where the command was started, too."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise WrongUsage(f"--schema {module}:{name} cannot be imported: {error}") from None
