"""Writes the table of docs/models.md from core/catalog/models.toml: ``make settings``."""

from __future__ import annotations

import re
from pathlib import Path

from core.catalog.facts import Entry, facts_of, shipped
from core.catalog.image_tokens import image_tokens_of

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- make settings writes this table -->\n", "<!-- end -->\n"
HEAD = """| model | at | 728 x 728, low | 2,000 x 1,500, high | sent at most | JSON | formula from |
|---|---|---:|---:|---:|---|---|
"""
LARGE = 9_000
NAME = re.compile(r" ?[(:,]")
LINK = re.compile(r"^(https?://[^ )]+)")


def page(text: str) -> str:
    """``text``, the page as it is, with its table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{HEAD}{''.join(map(_row, shipped()))}\n{END}{after}"


def _row(entry: Entry) -> str:
    url = f"https://{entry.at[0].replace('*', '')}" if entry.at else ""
    facts = facts_of(entry.names[0].replace("*", ""), url)
    tokens, sizes = image_tokens_of(facts), facts.sizes
    sent = sizes.of(2_000, 1_500, "high")
    counted = (tokens.of(728, 728, "low"), tokens.of(*sent, "high"))
    cells = [
        ", ".join(f"`{name}`" for name in entry.names[:3]),
        ", ".join(f"`{host}`" for host in entry.at),
        *(f"{count:,}" for count in counted),
        f"{max(sizes.of(LARGE, LARGE, 'high')):,}",
        (entry.json or "").replace("_", " "),
        _source(entry),
    ]
    return f"| {' | '.join(cells)} |\n"


def _source(entry: Entry) -> str:
    """The best source of the formula: the first that names tokens."""
    source = next((one for one in entry.sources if "tokens" in one.of), entry.sources[0])
    how = f"{source.sure}, {source.date}"
    link = LINK.match(source.url)
    return f"[{how}]({link[1]})" if link else f"{NAME.split(source.url)[0]}: {how}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
