"""The prose of code and documents avoids patterns that readers had to read twice.

The text is for engineers whose second language is English: subject, verb, object, one idea a
sentence. Each rule below names a pattern, what to write instead, and why. Add a rule only if good
text never matches it.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    *("core", "clients", "models", "tasks", "workers", "overstory"),
    *("migrations", "benchmarks", "examples", "tests/support"),
)
RELEASED = ROOT / "migrations" / "versions"  # a released migration is never edited

OF_ROOT = (
    "architecture.md",
    "changes.md",
)  # copies of files in the root

NOUNS = (
    "address|answer|bound|error|file|folder|format|image|integer|job|json|key|node|number|path|place"
    "|port|reply|request|schema|secret|setting|sign|text|url|utf-8|value|word"
)
VERBS = "asks|comes|gets|has|holds|is|lost|made|opens|reads|sends|takes|was|writes"


@dataclass(frozen=True)
class Rule:
    pattern: re.Pattern[str]
    advice: str
    why: str
    bad: str


def rule(pattern: str, advice: str, why: str, bad: str) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE), advice, why, bad)


RULES = (
    rule(
        r"\bbe it\b",
        "write 'even if', or 'whether ... or ...'",
        "A subjunctive without 'if' is rare in technical English.",
        "Asks for a stop, be it after the end.",
    ),
    rule(
        r"(?<!there )\b(?:is|are|was|were) (?-i:none)\b",
        "name the noun: 'is not an X', 'is not valid'",
        "The reader must search the sentence for the word that 'none' replaces.",
        "A secret that is none.",
    ),
    rule(
        rf"(?<!there )\b(?:is|are|was|were) no (?:{NOUNS})s?\b",
        "write 'is not a ...' or 'is not a valid ...'",
        "'is no X' is read as 'has no X'.",
        "The value is no address of a broker.",
    ),
    rule(
        r"\b(?:it|that|this|which) is no (?!longer\b|more\b|less\b|worse\b|\w+er\b)",
        "write 'is not a ...'",
        "'is no X' is read as 'has no X'.",
        "Read a list that is no JSON.",
    ),
    rule(
        r", for (?:they|it|he|she|nobody|whoever|who|there) (?!to\b)",
        "write 'because'",
        "'for' is read as a preposition until the verb comes.",
        "Two files are skipped, for they are empty.",
    ),
    rule(
        r"\bwhoever\b",
        "name the subject: 'the worker that ...', 'the next run'",
        "The reader must guess whether a process, a worker or a person is meant.",
        "Whoever leaves more due sends the next message.",
    ),
    rule(
        rf"(?:^|[.:;] |\b(?:and|by|for|from|of|over|to|with) )who (?:{VERBS})\b(?![^.]*\?)",
        "name the subject: 'a worker that ...', 'the receiver'",
        "A relative clause without a noun hides its subject.",
        "The record goes last, for who is killed here leaves it.",
    ),
    rule(
        r"\bwho (?:is|are|was|were) (?:asked|away|killed|told)\b(?![^.]*\?)",
        "name the subject: 'the receiver', 'a process that is killed'",
        "'who' for a process or a service hides what it is.",
        "Webhooks: who is told of a job's end.",
    ),
    rule(
        r"\bsaid at the\b",
        "write 'reported at the ...' or 'printed at the ...'",
        "Programs report and print; 'said' has no subject here.",
        "The reason is said at the end.",
    ),
    rule(
        r"\bnor (?:are|can|do|does|had|has|have|is|was|were|will)\b",
        "start a new sentence: '... does not ... either'",
        "Inverted word order: the verb stands before its subject.",
        "No row is lost, nor does a sum change.",
    ),
    rule(
        r"\b(?:none|nobody) but\b",
        "write 'only'",
        "The double negation must be resolved by the reader.",
        "None but the owner may open it.",
    ),
    rule(
        r"\bnobody\b[^.;:]*\bany more\b",
        "write 'no longer', with the subject that did it before",
        "Two negations in one clause.",
        "What nobody supervises any more is stopped.",
    ),
    rule(
        r"\bin the place of\b",
        "write 'instead of', or 'replaces'",
        "'in the place of' is read as a location.",
        "Texts in the place of ours.",
    ),
    rule(
        r"\b(?:is|are|was|were|be) away\b",
        "write 'is unavailable' or 'does not answer'",
        "A service does not leave; say what the caller sees.",
        "The reply waits on disk while the database is away.",
    ),
    rule(
        r"\btwins?\b",
        "write 'duplicate', 'duplicate in-flight request' or 'counterpart'",
        "A private metaphor with three meanings.",
        "A request waits for its twin.",
    ),
    rule(
        r"\bcrews?\b",
        "write 'fork server'",
        "A private metaphor; the field has a term.",
        "The crew forks the workers.",
    ),
)

GOOD = (
    "There is no key, so the sandbox answers.",
    "If there are none, the list is empty, and the result is None.",
    "It is no longer needed, and it is no slower than before.",
    "The file is not an image.",
    "The default is `none`; `for who is killed` is code.",
    "Wait, for it to end takes a second.",
    "For people who read results with queries.",
    "Which worker holds the lease? Who is asked?",
    "Neither the worker nor the broker loses a message.",
    "Any more files are skipped.",
    "The server does not answer.",
    "Use PNG instead of GIF.",
)

Piece = tuple[int, str]
"""A line's number and its text. A list of pieces is one text; a sentence may span them."""


def findings(text: list[Piece]) -> Iterator[tuple[int, str, Rule]]:
    """Where a rule matches: the line, the words around the match, the rule."""
    joined, starts = "", []
    for number, words in text:
        starts.append((len(joined), number))
        joined += " ".join(re.sub(r"(`+)[^`]+\1", "`code`", words).split()) + " "
    for one in RULES:
        for match in one.pattern.finditer(joined):
            line = next(number for start, number in reversed(starts) if start <= match.start())
            around = joined[max(0, match.start() - 40) : match.end() + 40]
            yield line, around.strip(), one


def python_texts(source: str) -> Iterator[list[Piece]]:
    """Comments (consecutive lines of their own are one text) and strings that contain a space."""
    block: list[Piece] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            own_line = token.line.lstrip().startswith("#")
            if block and not (own_line and token.start[0] == block[-1][0] + 1):
                yield block
                block = []
            block.append((token.start[0], token.string.lstrip("#")))
    yield block
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            last = node.end_lineno or node.lineno
            lines = enumerate(node.value.splitlines(), node.lineno)
            yield [(min(number, last), line) for number, line in lines]


def comment_texts(source: str, marks: re.Pattern[str]) -> Iterator[list[Piece]]:
    """Comments of other languages: each run of lines whose comment ``marks`` finds (group 1)."""
    block: list[Piece] = []
    for number, line in enumerate(source.splitlines(), 1):
        match = marks.search(line)
        if match:
            block.append((number, match[1]))
        elif block:
            yield block
            block = []
    yield block


def markdown_texts(source: str) -> Iterator[list[Piece]]:
    """Paragraphs, list items and table rows outside of fenced and indented code."""
    block: list[Piece] = []
    fenced = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        starts = re.match(r"\s*(?:[-*|#>]|\d+\. )", line)
        if block and (fenced or starts or not line.strip()):
            yield block
            block = []
        if not fenced and line.strip() and not line.startswith("    "):
            block.append((number, line))
    yield block


HASH = re.compile(r"(?:^|\s)#+ ?(.*)")
LUA = re.compile(r"--+ ?(.*)")
SLASHES = re.compile(r"(?:^|\s)(?://|/?\*+) ?(.*)")
MARKS = {".lua": LUA, ".js": SLASHES, ".mjs": SLASHES, ".css": SLASHES, ".sh": HASH, ".yml": HASH}


def texts_of(path: Path) -> Iterator[list[Piece]]:
    source = path.read_text("utf-8")
    if path.suffix == ".py":
        return python_texts(source)
    if path.name == "CHANGELOG.md":  # older sections are history
        source = "## [".join(source.split("## [")[:3])
    if path.suffix == ".md":
        return markdown_texts(source)
    return comment_texts(source, MARKS.get(path.suffix, HASH))


def files() -> list[Path]:
    of_code = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".md", *MARKS} and RELEASED not in path.parents
    ]
    pages = [page for page in (ROOT / "docs").glob("*.md") if page.name not in OF_ROOT]
    top = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")]
    set_up = [ROOT / name for name in ("docker-compose.yml", "Dockerfile", ".env.example")]
    return sorted([*of_code, *pages, *top, *set_up, *(ROOT / "deploy").rglob("*.yml")])


FILES = files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_no_riddle(path: Path) -> None:
    report = [
        f"{path.relative_to(ROOT)}:{line}: ...{around}...\n    {one.advice}. {one.why}"
        for text in texts_of(path)
        for line, around, one in findings(text)
    ]
    if report:
        pytest.fail("\n".join(report), pytrace=False)


@pytest.mark.parametrize("one", RULES, ids=lambda one: one.pattern.pattern)
def test_a_rule_finds_its_bad_sentence(one: Rule) -> None:
    assert one in [rule for _, _, rule in findings([(1, one.bad)])]


@pytest.mark.parametrize("sentence", GOOD)
def test_a_good_sentence_matches_no_rule(sentence: str) -> None:
    assert list(findings([(1, sentence)])) == []


def found(texts: Iterator[list[Piece]]) -> list[int]:
    return [line for text in texts for line, _, _ in findings(text)]


def test_python_is_checked_in_docstrings_comments_and_messages() -> None:
    source = (
        '"""A value that\n\n    is\n    none."""\n'  # 1: the match starts at "is", line 3
        "# A comment, be\n# it short.\n"  # 5
        'x = "be it"\n'  # 7
        'y = f"{x}: be it {x}"\n'  # 8
        "be_it = whoever = 'whoever'\n"  # names, and strings without a space
    )
    assert found(python_texts(source)) == [5, 3, 7, 8]


def test_comments_of_other_languages_are_checked() -> None:
    assert found(comment_texts("local x = 1 -- be\n-- it so\nlocal be_it\n", LUA)) == [1]
    assert found(comment_texts("a()\n/** whoever\n * calls */\nb()", SLASHES)) == [2]
    assert found(comment_texts("X: 1 # be it\n# whoever\n", HASH)) == [1, 2]


def test_markdown_is_checked_outside_of_code() -> None:
    source = "A text, be\nit long.\n\n    be it\n\n```\nbe it\n```\n- whoever\n- `be it`\n"
    assert found(markdown_texts(source)) == [1, 9]
