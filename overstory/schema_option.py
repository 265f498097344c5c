"""``--schema``: a JSON Schema file, or a pydantic model as ``package.module:Model``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any

from core.errors import WrongUsage

Schema = dict[str, Any]
OUR_FOLDER = Path(__file__).resolve().parent.parent


OURS = frozenset({"core", "models", "clients", "tasks", "workers", "migrations", "overstory"})
"""Our own top-level packages, whose names a person's modules may have too."""


def load_schema(text: str) -> Schema:
    """The JSON Schema that ``answer.json`` or ``package.module:Model`` names. Raises WrongUsage."""
    module, colon, name = text.partition(":")
    if colon and name.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        with _person_first(Path.cwd()):
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


@contextmanager
def _person_first(folder: Path) -> Iterator[None]:
    """Import from ``folder`` first, as Python does for a person's script.

    Where a name there is one of our packages' too, ours is out of the way meanwhile. Afterwards the
    search path and our packages are as they were, and no module of the folder is left to be taken
    for another one of its name.
    """
    hidden = {name for name in OURS if _is_persons(folder, name)}
    before, ours = list(sys.path), _take_out(lambda name, _: name.partition(".")[0] in hidden)
    known = set(sys.modules)
    sys.path.insert(0, str(folder))
    invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
        _take_out(lambda name, module: name not in known and _is_in(module, folder))
        sys.modules.update(ours)


def _is_persons(folder: Path, name: str) -> bool:
    """Whether ``folder`` has a module or package called ``name`` that is not our own."""
    if (folder / f"{name}.py").is_file():
        return True
    return (folder / name).is_dir() and (folder / name).resolve() != OUR_FOLDER / name


def _take_out(chosen: Callable[[str, ModuleType], bool]) -> dict[str, ModuleType]:
    """Remove loaded modules by name; returns them."""
    names = [name for name, module in [*sys.modules.items()] if chosen(name, module)]
    return {name: sys.modules.pop(name) for name in names}


def _is_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", ()))
    return any(Path(place).is_relative_to(folder) for place in places) and not any(
        part in ("site-packages", "dist-packages") for place in places for part in Path(place).parts
    )


def _attribute(module: str, name: str) -> Any:
    """``name`` of the person's ``module``. Raises WrongUsage for whatever goes wrong in it."""
    try:
        return getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        reason = f"{error}" if isinstance(error, ImportError | AttributeError) else repr(error)
        raise WrongUsage(
            f"--schema {module}:{name} cannot be imported: {reason}; the module is looked for in"
            f" this folder first. Let it import only what it needs for {name}, or write the"
            " schema to a JSON file"
        ) from None
