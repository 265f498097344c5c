"""Who imports whom outside the layers of ``pyproject.toml``: no test imports a benchmark."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_a_test_imports_no_benchmark_and_no_other_test(path: Path) -> None:
    """What tests and benchmarks share is in ``tests.support``."""
    names = set(imported(ast.parse(path.read_text("utf-8"))))
    assert not {name for name in names if name.split(".")[0] == "benchmarks"}
    ours = {name for name in names if name.split(".")[0] == "tests"}
    assert not {name for name in ours if name.split(".")[1:2] not in ([], ["support"])}
