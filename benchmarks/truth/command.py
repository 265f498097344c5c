"""The real command over the made pictures, answered by the eyes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.eyes.reading import Reader
from benchmarks.eyes.server import MODEL, server
from benchmarks.truth.receipts import Receipt
from benchmarks.truth.verdict import judged

EACH = "What is printed on this receipt: shop, date (YYYY-MM-DD), number, total, and each price?"
SUM = "What is the sum of all totals?"
WORDS = "Which shop, date, number and total is printed on each receipt?"
Way = Literal["each", "sum", "words"]
"""A schema for each image, one object about all, or words about all."""
IN_TREES: tuple[Way, ...] = ("sum", "words")
OWN = ("OVERSTORY_", "STEPFUN_", "OPENAI_")
SECONDS = 1_800.0
NAMED = {"shop": "string", "date": "string", "number": "string", "total": "number"}
PRICES = {"type": ["array", "null"], "items": {"type": "number"}}


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of the command answered. ``tokens``: prompt tokens that the eyes charged.
    ``twice``: images that were looked at twice."""

    right: int
    of: int
    unanswered: int
    requests: int
    tokens: int
    depth: int
    twice: int
    answer: str


@contextmanager
def eyes(reader: Reader, most_images: int | None = None) -> Iterator[str]:
    """The base URL of the eyes, which run in this process meanwhile."""
    running = server(reader.rows, most_images=most_images)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/v1"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def run(
    made: Sequence[Receipt],
    url: str,
    folder: Path,
    *,
    pack: int,
    detail: str,
    accelerator: str = "none",
    way: Way = "each",
    context: int | None = None,
) -> Run:
    """Ask about the images and judge what each was answered. ``context``: the model's tokens.

    Raises RuntimeError if the command prints no result.
    """
    home = Path(tempfile.mkdtemp(prefix="home-", dir=folder))
    argv = [sys.executable, "-m", "overstory", "run", *(str(one.path) for one in made)]
    argv += [*_asked(way, home), "--detail", detail, "--json", "--quiet", "--yes"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(OWN)}
    settings = {
        "OVERSTORY_HOME": str(home),
        "OVERSTORY_API_KEY": "none",
        "OVERSTORY_PROVIDER": "openai",
        "OVERSTORY_BASE_URL": url,
        "OVERSTORY_MODEL": MODEL,
        "OVERSTORY_IMAGES_PER_REQUEST": str(pack),
        "OVERSTORY_ACCELERATOR": accelerator,
        "OVERSTORY_RPM": "10000",
        "OVERSTORY_TPM": "100000000",
    }
    if context is not None:
        settings["OVERSTORY_CONTEXT_TOKENS"] = str(context)
    ended = subprocess.run(
        argv, env=clean | settings, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if not ended.stdout.strip():
        raise RuntimeError(f"the command exited with {ended.returncode}: {ended.stderr[-2_000:]}")
    return _result(json.loads(ended.stdout), made)


def _asked(way: Way, home: Path) -> list[str]:
    if way == "words":
        return ["--ask", WORDS]
    schema = home / "schema.json"
    schema.write_text(json.dumps(_schema(way)), encoding="utf-8")
    return [*(["--ask", SUM] if way == "sum" else ["--each", EACH]), "--schema", str(schema)]


def _schema(way: Way) -> dict[str, Any]:
    if way == "sum":
        return {"type": "object", "properties": {"total": {"type": ["number", "null"]}}}
    properties: dict[str, Any] = {name: {"type": [kind, "null"]} for name, kind in NAMED.items()}
    properties["prices"] = PRICES
    return {"type": "object", "properties": properties, "required": list(properties)}


def _result(result: dict[str, Any], made: Sequence[Receipt]) -> Run:
    answers = [image.get("answer") for image in result["images"]]
    verdicts = [
        judged(given if isinstance(given, dict) else {}, one.truth)
        for given, one in zip(answers, made, strict=True)
    ]
    return Run(
        right=sum(sum(verdict.values()) for verdict in verdicts),
        of=sum(len(verdict) for verdict in verdicts),
        unanswered=answers.count(None),
        requests=result["usage"]["requests"],
        tokens=result["usage"]["prompt_tokens"],
        depth=result["tree"]["depth"],
        twice=result["looks"]["twice"],
        answer=str(result["answer"]),
    )
