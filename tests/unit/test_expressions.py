"""Our own expressions and the functions over foreign text take time in proportion to its length."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from core.text import citations, json_replies, notes, numbers, thoughts
from overstory.local import urls
from overstory.report import markdown
from overstory.report import notes as report_notes

ROOT = Path(__file__).parents[2]
PACKAGES = ("core", "clients", "models", "tasks", "workers", "overstory")
NOT_IMPORTED = ("overstory.__main__", "overstory.sandbox.__main__", "workers.flower")
"""They run on import; they hold no expressions."""
LENGTH = 100_000
PATTERN_LENGTH = 20_000
"""For one expression: what backtracks there takes at least four times EXPRESSION_SECONDS, and what
does not a fifth of it, also on a machine with other work."""
EXPRESSION_SECONDS = 0.05
FUNCTION_SECONDS = 1.0
RUNS = 4
"""The best of so many counts: other processes take time, too."""
METHODS = ("match", "fullmatch", "search", "finditer", "sub", "split")


@dataclass(frozen=True)
class Use:
    """An expression of ours, where it is, and how it is called."""

    where: str
    pattern: re.Pattern[Any]
    methods: tuple[str, ...]


# --- finding them


@cache
def sources() -> dict[str, ast.Module]:
    trees = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            trees[name] = ast.parse(path.read_text("utf-8"))
    return trees


@cache
def called() -> dict[str, set[str]]:
    """The methods called on each variable: ``core.text.citations._CITATION`` -> {"finditer"}. A
    name without an underscore may be used in any module."""
    methods: dict[str, set[str]] = {}
    for name, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
                owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
                if node.attr in METHODS:
                    full = f"{name}.{owner}" if owner.startswith("_") else owner
                    methods.setdefault(full, set()).add(node.attr)
    return methods


def methods_of(module: str, variable: str) -> set[str]:
    """How a variable is used; if it is in a table or passed on, what its module calls on a
    ``pattern``; else what searches longest."""
    full = f"{module}.{variable}" if variable.startswith("_") else variable
    passed_on = {
        method for name in ("pattern", "patterns") for method in handed_on(module).get(name, ())
    }
    return called().get(full, set()) | passed_on or {"search", "sub"}


@cache
def handed_on(module: str) -> dict[str, set[str]]:
    """The methods that a module calls on each of its lower-case names."""
    methods: dict[str, set[str]] = {}
    for node in ast.walk(sources()[module]):
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            name = ast.unparse(node.value).rpartition(".")[2]
            methods.setdefault(name, set()).add(node.attr)
    return methods


def patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 4 and isinstance(value, Mapping):
        for item in value.values():
            yield from patterns_in(item, depth + 1)
    elif depth < 4 and isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from patterns_in(item, depth + 1)
    elif depth < 4 and is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from patterns_in(getattr(value, field.name, None), depth + 1)


def module_names() -> Iterator[str]:
    for package in PACKAGES:
        yield package
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if module.name not in NOT_IMPORTED:
                yield module.name


def compiled() -> Iterator[Use]:
    """The expressions in the variables of our modules, however deep inside their values."""
    for name in module_names():
        module = importlib.import_module(name)
        for variable, value in vars(module).items():
            if not variable.startswith("__") and not inspect.ismodule(value):
                for pattern in patterns_in(value):
                    methods = tuple(sorted(methods_of(name, variable)))
                    yield Use(f"{name}.{variable}", pattern, methods)


def written() -> Iterator[Use]:
    """``re.sub("...", ...)`` inside functions, by the text of the expression."""
    for name, tree in sources().items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            if not (isinstance(owner, ast.Name) and owner.id == "re" and node.func.attr in METHODS):
                continue
            where = f"{name}:{node.lineno}"
            for text in texts_of(node.args[0]):
                yield Use(where, re.compile(text), (node.func.attr,))


def texts_of(node: ast.expr) -> list[str]:
    """The expressions that a node may be; of ``rf"[^{point}]"`` with a sign for each variable."""
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, str)
        return [node.value]
    assert isinstance(node, ast.JoinedStr), ast.unparse(node)
    filled = [part.value if isinstance(part, ast.Constant) else "," for part in node.values]
    return ["".join(map(str, filled))]


def uses() -> list[Use]:
    known: dict[tuple[str, int], Use] = {}
    for use in (*compiled(), *written()):
        key = (str(use.pattern.pattern), use.pattern.flags)
        before = known.get(key)
        methods = tuple(sorted({*use.methods, *(before.methods if before else ())}))
        known[key] = Use(before.where if before else use.where, use.pattern, methods)
    return list(known.values())


# --- hostile texts for one expression


CATEGORIES = {"DIGIT": "1", "NOT_SPACE": "a", "NOT_DIGIT": "a", "SPACE": " ", "NOT_WORD": "-"}


def signs_of(parsed: Any) -> Iterator[str]:
    """A sign of each class in an expression, as Python has parsed it."""
    if not isinstance(parsed, tuple | list | sre_parser.SubPattern):
        return
    kind = parsed[0] if isinstance(parsed, tuple) and parsed else None
    if kind in (sre.LITERAL, sre.NOT_LITERAL):
        yield chr(parsed[1])
    elif kind is sre.RANGE:
        yield chr(parsed[1][0])
    elif kind is sre.CATEGORY:
        yield CATEGORIES.get(str(parsed[1]).removeprefix("CATEGORY_"), "a")
    else:
        for part in parsed:
            yield from signs_of(part)


def mentioned(pattern: re.Pattern[Any]) -> list[str]:
    """A sign of each class that the expression mentions, and its words."""
    source = pattern.pattern
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    words = re.findall(r"[<\"]?[^\W\d]{2,}", re.sub(r"\\.|\(\?P<\w+>", " ", text))
    signs = signs_of(sre_parser.parse(source, 0 if isinstance(source, bytes) else pattern.flags))
    return list(dict.fromkeys([*signs, *words, "a", "1", " "]))


def filled(unit: str, before: str = "", after: str = "") -> str:
    return before + unit * (PATTERN_LENGTH // len(unit)) + after


def hostile(pattern: re.Pattern[Any]) -> Iterator[str]:
    """20,000 characters of each class that the expression mentions, and mixtures of them."""
    signs = mentioned(pattern)
    draw = random.Random(ascii(pattern.pattern))
    for sign in signs:
        yield filled(sign)
        yield filled(sign, after="\x01")
        yield filled(f"{sign}\n")
    pairs = list(itertools.permutations(signs, 2))
    for first, second in draw.sample(pairs, min(len(pairs), 30)):
        yield filled(second, before=first, after="\x01")
        yield filled(first + second, after="\x01")
    for _ in range(12):
        count = draw.randint(2, 6)
        yield filled("".join(draw.choices(signs, k=count)), after=draw.choice(signs))
        yield filled("".join(draw.choices(signs, k=2_000))[:5_000])


def run(pattern: re.Pattern[Any], method: str, text: Any) -> None:
    if method == "finditer":
        for _ in pattern.finditer(text):
            pass
    elif method == "sub":
        pattern.sub(text[:0], text)
    else:
        getattr(pattern, method)(text)


def seconds(call: Callable[[], object], enough: float) -> float:
    """The shortest of a few runs, in CPU time; one run that is short enough will do."""
    best = float("inf")
    for _ in range(RUNS):
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
        if best < enough:
            break
    return best


USES = uses()


def test_the_expressions_of_all_packages_are_found() -> None:
    assert len(USES) > 60
    assert {use.where.partition(".")[0] for use in USES} >= {"core", "clients", "overstory"}


@pytest.mark.parametrize("use", USES, ids=lambda use: use.where)
def test_an_expression_takes_20_000_characters_of_any_kind_at_once(use: Use) -> None:
    for text in hostile(use.pattern):
        given = (
            text.encode("latin-1", "replace") if isinstance(use.pattern.pattern, bytes) else text
        )
        for method in use.methods:
            took = seconds(lambda: run(use.pattern, method, given), EXPRESSION_SECONDS)  # noqa: B023
            assert took < EXPRESSION_SECONDS, (method, text[:60], text[-20:], took)


# --- functions over foreign text

KNOWN = {number: number * 3 for number in range(1, 10_001)}
"""Positions with gaps, so that a translated range is long."""
DECIMALS = [Decimal(number) / 7 for number in range(2_000)]
TEXTS = {
    "spaces": " " * LENGTH,
    "spaces before a sign": " " * LENGTH + "x",
    "the same range": "[1-100000]" * (LENGTH // 10),
    "other ranges": "".join(f"[{n}-100000] " for n in range(1, LENGTH // 12)),
    "ranges of unknown numbers": "".join(f"[{n}00001-{n + 1}00000]" for n in range(1, 6_000)),
    "ranges of known numbers": "".join(f"[1-{n}]" for n in range(9_900, 1, -1)),
    "brackets": "[" * LENGTH,
    "brackets in brackets": "[" * 20_000 + "99999" + "] 99999]" * 10_000,
    "brackets around brackets": "[[1]" * (LENGTH // 4),
    "an open list": "[" + "1," * (LENGTH // 2),
    "an open list of long numbers": "[" + "123456789, " * (LENGTH // 11),
    "bold": "**a " * (LENGTH // 4),
    "italic": "*a **b " * (LENGTH // 7),
    "underscores": "_a __b " * (LENGTH // 7),
    "stars": "*" * LENGTH,
    "stars with words": "*a" * (LENGTH // 2),
    "backticks": "`" * LENGTH,
    "growing backticks": "".join("`" * n + " " for n in range(1, 440)),
    "quotes": ">" * LENGTH,
    "quotes in lines": "> " * 50 + "\n" + ("> " * 50 + "\n") * 900,
    "lists in lists": "".join("  " * n + "- a\n" for n in range(300)),
    "many lists": "- a\n" * (LENGTH // 4),
    "a table": "|a" * 1_000 + "\n" + "|-" * 1_000 + "\n" + ("|a" * 1_000 + "\n") * 40,
    "rows without cells": "|a|b|\n|-|-|\n" + "a\n" * (LENGTH // 2),
    "backslashes": "\\" * LENGTH,
    "line ends": "\n" * LENGTH,
    "sentences": "a. " * (LENGTH // 3),
    "cited sentences": "a [1]. " * (LENGTH // 7),
    "digits": "1" * LENGTH,
    "groups of digits": "1" + ",111" * (LENGTH // 4) + "x",
    "numbers": "1.5 " * (LENGTH // 4),
    "numbers with ever more places": " ".join("1." + "1" * n for n in range(1, 440)),
    "unknown numbers": " ".join(str(n + 0.123) for n in range(LENGTH // 8)),
    "lines of images": "".join(f"[{n}] a barn\n" for n in range(1, 7_000)),
    "images in one line": "".join(f"[{n}] red. " for n in range(1, 9_000)),
    "images by name": "Image 1 and 2 " * (LENGTH // 14),
    "a head of bullets": "- " * (LENGTH // 2),
    "rules": "=" * LENGTH,
    "rules in lines": "===\n" * (LENGTH // 4),
    "an object": "{" + '"1": {"a": 1}, ' * (LENGTH // 15),
    "an object of spaces": "{" + " " * LENGTH,
    "a key and spaces": '{"1"' + " " * LENGTH,
    "objects in objects": '{"1": ' * (LENGTH // 6),
    "lists in an object": '{"1": ' + "[" * LENGTH,
    "closed lists": '{"1": ' + "[" * (LENGTH // 2) + "]" * (LENGTH // 2) + "}",
    "entries": "{" + ", ".join(f'"{n}": "x"' for n in range(LENGTH // 12)) + "}",
    "the same entry": "{" + '"1": ["x", "y"], ' * (LENGTH // 17),
    "an open string": '{"1": "' + "\\\\" * (LENGTH // 2),
    "a long number": '{"1": ' + "9" * LENGTH + "}",
    "open braces": "{" * LENGTH,
    "schemes": "://" * (LENGTH // 3),
    "users": "://u:" * (LENGTH // 5) + "@",
    "users with places": "://u:@" * (LENGTH // 6) + "?",
    "ports": "://h:6379/" * (LENGTH // 10) + "@",
    "passwords": "://u:p@h/?" * (LENGTH // 10),
    "questions": "?" * LENGTH,
    "parameters without values": "?key" * (LENGTH // 4),
    "parameters of parameters": "?key=&" * (LENGTH // 6),
    "values": "?a=key" * (LENGTH // 6) + "=",
    "thoughts": "<think>a</think>" * (LENGTH // 16),
    "quoted marks": "`</think>` " * (LENGTH // 11),
    "channels": "<|channel|>final<|message|>" * (LENGTH // 27),
}
FUNCTIONS: dict[str, Callable[[str], object]] = {
    "citations.check": lambda text: citations.check(text, KNOWN),
    "citations.check of few": lambda text: citations.check(text, range(1, 61)),
    "citations.translate": lambda text: citations.translate(text, KNOWN),
    "citations.cited_numbers": citations.cited_numbers,
    "citations.parted": citations.parted,
    "citations.sentences": citations.sentences,
    "json_replies.entries": json_replies.entries,
    "numbers.numbers_in": numbers.numbers_in,
    "numbers.unbacked": lambda text: numbers.unbacked(text, DECIMALS),
    "numbers.without_unbacked": lambda text: numbers.without_unbacked(text, DECIMALS),
    "notes.read_notes": lambda text: notes.read_notes(text, KNOWN),
    "notes.split_answer": lambda text: notes.split_answer(text, KNOWN),
    "notes.says_nothing": notes.says_nothing,
    "thoughts.split_thoughts": thoughts.split_thoughts,
    "markdown.blocks": markdown.blocks,
    "markdown.spans": markdown.spans,
    "report.notes_of": lambda text: report_notes.notes_of(text, KNOWN),
    "report.rest_of": report_notes.rest_of,
    "urls.masked": urls.masked,
    "urls.secrets_in": lambda text: list(urls.secrets_in(text)),
    "urls.wrong_password": urls.wrong_password,
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_takes_100_000_hostile_characters_in_a_second(function: str) -> None:
    slow = {}
    for name, text in TEXTS.items():
        took = seconds(lambda: FUNCTIONS[function](text), FUNCTION_SECONDS)  # noqa: B023
        if took >= FUNCTION_SECONDS:
            slow[name] = round(took, 1)
    assert not slow
