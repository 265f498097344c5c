"""Links in the documents lead to existing files and headings; every page is in the menu."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from core import prompts
from core.prompts.own import placeholders
from core.settings import Settings
from overstory.doctor import models_page, settings_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *ROOT.glob("*.md"),
    *(page for page in DOCS.glob("*.md") if not page.is_symlink()),
    *(ROOT / "examples").rglob("*.md"),
    *(ROOT / "migrations").glob("*.md"),
]
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")
NAMED = re.compile(
    r"(?<![\w/.])((?:core|clients|models|tasks|workers|overstory|docs|tests|examples)"
    r"/[\w/]+\.(?:py|md|lua|sh|txt|svg))(?![\w/])"
)
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def words(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """A heading's anchor, as GitHub and Markdown's toc build it."""
    names = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(words(page)))
    return {name.strip().replace(" ", "-") for name in names}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_internal_link_has_a_target(page: Path) -> None:
    for match in LINK.finditer(words(page)):
        target = match[1] or match[2]
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.name} links to {target}"
        if page.parent == DOCS:
            assert found.parent in (DOCS, ROOT), f"{page.name}: {target} is no part of the site"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_named_file_exists(page: Path) -> None:
    missing = [name for name in NAMED.findall(words(page)) if not (ROOT / name).exists()]
    assert missing == []


def test_every_page_is_in_the_sites_menu() -> None:
    menu = (ROOT / "properdocs.yml").read_text("utf-8")
    assert [page.name for page in DOCS.glob("*.md") if f": {page.name}" not in menu] == []


@pytest.mark.parametrize(
    ("page", "original"),
    [("architecture.md", "ARCHITECTURE.md"), ("changes.md", "CHANGELOG.md")],
)
def test_a_page_that_repeats_a_file_of_the_root_equals_it(page: str, original: str) -> None:
    assert (DOCS / page).read_text("utf-8") == (ROOT / original).read_text("utf-8")


def test_the_page_of_settings_is_what_the_code_says() -> None:
    """`make settings` writes it."""
    assert settings_page.PAGE.read_text("utf-8") == settings_page.page()
    described = {row.name: row.says for row in settings_page.rows()}
    assert len(described) == len(Settings.model_fields)
    assert [name for name, says in described.items() if not says] == []


def test_the_page_of_models_has_the_facts_of_the_file() -> None:
    """`make settings` writes them."""
    page = models_page.PAGE.read_text("utf-8")
    assert models_page.page(page) == page


def test_the_page_on_prompts_names_every_text_and_placeholder() -> None:
    page = (DOCS / "prompts.md").read_text("utf-8")
    for name in prompts.TEXTS:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}.txt`"))
        assert all(f"`${placeholder}`" in row for placeholder in placeholders(name))


def test_documented_worker_commands_set_distinct_names() -> None:
    """Without names Celery calls all workers of a machine ``celery@host``: monitors see one."""
    started = re.findall(r"^ +celery .* worker .*", (DOCS / "service.md").read_text("utf-8"), re.M)
    names = [re.findall(r"-n (\w+@%h)", line) for line in started]
    assert len(names) > 1
    assert all(names)
    assert len({name for (name,) in names}) == len(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sample_blocks_in_get(page: Path) -> None:
    """It races the arrival of the result, as docs/service.md says."""
    samples = FENCE.findall(page.read_text("utf-8"))
    assert not [sample for sample in samples if ".get(timeout" in sample]


def test_the_tree_picture_is_small_valid_svg_and_has_both_colour_modes() -> None:
    picture = DOCS / "tree.svg"
    ElementTree.parse(picture)
    assert picture.stat().st_size < 10_000
    assert "prefers-color-scheme: dark" in picture.read_text("utf-8")
