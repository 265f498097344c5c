"""Documents as units: how many requests they take, and whether each answer is about its own pages.

    python -m benchmarks.units [--documents 2000] [--refusals 0.2] [--seed 1]

Made PDFs of 1 to 9 pages, all pages of a document in one colour, and one object asked of each: its
colour, and how many pages it has. They run twice through ``overstory run --by document`` and the
sandbox: as they are, and while so many calls are refused (half of them for good, with 451, so that
packs are halved; the others with 500 and 429). A document whose pages were all shown must have its
colour and all of its pages; one that lost pages to refusals, the pages that are left. Exit status 1
if an answer is wrong or an image is not accounted for.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from overstory.sandbox.process import SandboxProcess

COMMAND = [sys.executable, "-m", "overstory"]
COLOURS = {
    "red": (220, 30, 30),
    "blue": (30, 40, 220),
    "green": (30, 160, 40),
    "pink": (250, 60, 190),
    "teal": (20, 160, 160),
    "purple": (120, 40, 200),
}
PAGES_MOST = 9
SHAPE = {
    "type": "object",
    "properties": {"colour": {"enum": sorted(COLOURS)}, "page_count": {"type": "integer"}},
    "required": ["colour", "page_count"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Document:
    """A made PDF."""

    colour: str
    pages: int


@dataclass(frozen=True)
class Outcome:
    """What a job said of its documents. ``lost``: pages that it names as failed."""

    seconds: float
    requests: int
    leaves: int
    right: int
    lost: int
    wrong: Sequence[str]


def make(folder: Path, count: int, seed: int) -> dict[str, Document]:
    """``count`` PDFs, by name."""
    draw = random.Random(seed)
    documents: dict[str, Document] = {}
    for number in range(1, count + 1):
        name = f"invoice-{number:05}.pdf"
        document = Document(draw.choice(list(COLOURS)), draw.randint(1, PAGES_MOST))
        shade = COLOURS[document.colour]
        pages = [
            Image.new("RGB", (80 + number % 97, 100 + page), shade)
            for page in range(document.pages)
        ]
        pages[0].save(folder / name, save_all=True, append_images=pages[1:])
        documents[name] = document
    return documents


def run(folder: Path, base_url: str, home: Path, schema: Path) -> tuple[dict[str, Any], float]:
    """The job's JSON and the seconds that it took."""
    environment = {
        **os.environ,
        "OVERSTORY_BASE_URL": base_url,
        "OVERSTORY_API_KEY": f"key-{home.name}",
        "OVERSTORY_TIER": "V4",
    }
    question = ["--by", "document", "--each", "Which colour is it, and how many pages?"]
    options = ["--schema", str(schema), "--json", "--quiet", "--yes", "--home", str(home)]
    began = time.monotonic()
    done = subprocess.run(
        [*COMMAND, "run", str(folder), *question, *options],
        env=environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    return json.loads(done.stdout), time.monotonic() - began


def judged(
    job: Mapping[str, Any], documents: Mapping[str, Document], calls: Sequence[Mapping[str, Any]]
) -> Outcome:
    """``job`` against what was made."""
    statuses = {image["position"]: image["status"] for image in job["images"]}
    wrong = []
    right = lost = 0
    for unit in job["units"]:
        made = documents[unit["unit"]]
        left = [p for p in unit["images"] if statuses[p] in ("included", "duplicate")]
        lost += len(unit["images"]) - len(left)
        wanted = {"colour": made.colour, "page_count": len(left)} if left else None
        is_right = unit["data"] == wanted and len(unit["images"]) == made.pages
        right += is_right
        if not is_right:
            wrong.append(f"{unit['unit']}: {unit['data']} instead of {wanted}")
    coverage = job["coverage"]
    submitted = coverage.pop("submitted")
    if {unit["unit"] for unit in job["units"]} != set(documents):
        wrong.append("a document has no unit")
    if sum(coverage[name] for name in ("included", "failed", "duplicate", "skipped")) != submitted:
        wrong.append("an image is not accounted for")
    answered = [call for call in calls if call["event"] == "reply"]
    return Outcome(0.0, len(answered), job["tree"]["leaves"], right, lost, wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--refusals", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="units-") as base:
        folder = Path(base, "invoices")
        folder.mkdir()
        schema = Path(base, "invoice.json")
        schema.write_text(json.dumps(SHAPE))
        documents = make(folder, given.documents, given.seed)
        pages = sum(document.pages for document in documents.values())
        print(f"{len(documents):,} documents, {pages:,} pages")
        print("refused  requests  a document each  right  pages lost  seconds")
        for share in (0.0, given.refusals):
            with SandboxProcess() as sandbox:
                rates = {"451": share / 2, "500": share / 4, "429": share / 4} if share else {}
                sandbox.configure(tier="V4", rates=rates, seed=given.seed)
                home = Path(base, f"home-{share}")
                job, seconds = run(folder, sandbox.base_url, home, schema)
                outcome = judged(job, documents, sandbox.ledger())
            print(
                f"{share:7.0%}  {outcome.requests:8,}  {len(documents):15,}  {outcome.right:5,}"
                f"  {outcome.lost:10,}  {seconds:7.1f}",
                flush=True,
            )
            for line in outcome.wrong[:10]:
                print(f"  wrong: {line}")
            failed |= bool(outcome.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
