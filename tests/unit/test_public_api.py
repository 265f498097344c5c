"""What ``overstory.Client`` takes, returns and raises can be imported from ``overstory``."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest

import overstory
from overstory import client as module
from overstory.client import Client

METHODS = [name for name in vars(Client) if name == "__init__" or not name.startswith("_")]
PUBLIC = {name: getattr(overstory, name) for name in overstory.__all__}
RAISES = re.compile(r"^ {4}(\w+): ", re.MULTILINE)
RAISED_BY_ALL = {"ServiceAway"}


def section(method: str, title: str) -> str:
    owner: Any = Client if method == "__init__" else getattr(Client, method)
    text = inspect.getdoc(owner) or ""
    return text.partition(f"\n{title}:\n")[2].partition("\n\n")[0]


def types_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for part in get_args(hint):
        yield from types_in(part)


@pytest.mark.parametrize("method", METHODS)
def test_types_of_a_method_are_public(method: str) -> None:
    hints = get_type_hints(getattr(Client, method)).values()
    ours = {kind for hint in hints for kind in types_in(hint) if kind.__module__ != "builtins"}
    ours = {
        kind for kind in ours if kind.__module__.split(".")[0] in {"core", "models", "overstory"}
    }
    assert ours <= set(PUBLIC.values())


def test_fields_of_a_status_are_public() -> None:
    assert get_type_hints(overstory.Status)["status"] is overstory.JobStatus


@pytest.mark.parametrize("method", METHODS)
def test_errors_of_a_method_are_public(method: str) -> None:
    raised = set(RAISES.findall(section(method, "Raises")))
    assert all(name in PUBLIC or hasattr(builtins, name) for name in raised)
    assert raised or method == "close"


def test_every_error_that_the_module_raises_is_documented() -> None:
    raised = {
        node.exc.func.id
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }
    documented = {name for m in METHODS for name in RAISES.findall(section(m, "Raises"))}
    assert raised <= documented | RAISED_BY_ALL
    assert all(issubclass(PUBLIC[name], overstory.OverstoryError) for name in RAISED_BY_ALL)


@pytest.mark.parametrize("method", METHODS)
def test_parameters_of_a_method_are_documented(method: str) -> None:
    parameters = inspect.signature(getattr(Client, method)).parameters
    documented = re.findall(
        r"^ {4}\**(\w+)(?: \([^)]*\))?: ", section(method, "Args"), re.MULTILINE
    )
    assert documented == [name for name in parameters if name != "self"]
    assert ">>> " in section(method, "Example")


def test_the_package_loads_nothing_of_ours_before_a_name_is_used() -> None:
    script = (
        "import sys, overstory; overstory.__version__; names = set(sys.modules)\n"
        "print([n for n in names if n.split('.')[0] in ('core', 'models', 'celery', 'pydantic')])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Clientt'"):
        overstory.Clientt  # noqa: B018
