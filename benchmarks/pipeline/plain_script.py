"""The script a user would write: the SDK in a thread pool, one image a request, retry on 429.

    python -m benchmarks.pipeline.plain_script FOLDER URL CONCURRENCY WINDOW_SECONDS LIMIT_SECONDS
        [--shrink]

It imports none of Overstory. Files go as they are, as base64 in the request: that is what such
scripts do. ``--shrink`` is the more careful one: Pillow's thumbnail of 728 pixels goes instead. Its
backoff is that of many such scripts (1 s doubled up to a minute, with jitter), scaled in time like
the window. It stops asking after LIMIT_SECONDS; what it did by then gives its rate. Prints one line
of JSON: answers, images, retries and seconds. It says something of each image, and nothing of the
set.

What it is sent the sandbox decodes, on our cores: of a phone's photographs that is as much CPU as
our own preparation of them, which no real provider would take from a user's machine. Where the CPU
sets the script's pace (many calls at once) it would be faster in the field, up to what its line
carries: 2 MB an image.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
from PIL import Image

ASK = "What is in this picture?"
MODEL = "step-3.7-flash"
SIDE = 728
"""Pixels on the long side that the model looks at, at low detail."""


def main() -> None:
    words = _words()
    client = openai.OpenAI(api_key="plain-script-0123", base_url=words.url, max_retries=0)
    begun = time.monotonic()
    deadline = begun + words.limit
    files = sorted(words.folder.iterdir())
    retries = [0]

    def ask(path: Path) -> str | None:
        if time.monotonic() > deadline:
            return None
        data = base64.b64encode(_shrunk(path) if words.shrink else path.read_bytes()).decode()
        url = {"url": f"data:image/jpeg;base64,{data}", "detail": "low"}
        parts: Any = [{"type": "image_url", "image_url": url}, {"type": "text", "text": ASK}]
        wait = 1.0
        while time.monotonic() < deadline:
            try:
                reply = client.chat.completions.create(
                    model=MODEL,
                    messages=[{"role": "user", "content": parts}],
                )
                return reply.choices[0].message.content
            except openai.RateLimitError:
                retries[0] += 1
                time.sleep(random.uniform(0.5, 1.0) * wait * words.window / 60)
                wait = min(2 * wait, 60.0)
        return None

    with ThreadPoolExecutor(words.concurrency) as pool:
        answers = sum(answer is not None for answer in pool.map(ask, files))
    seconds = time.monotonic() - begun
    print(
        json.dumps(
            {"answers": answers, "images": len(files), "retries": retries[0], "seconds": seconds}
        )
    )


def _shrunk(path: Path) -> bytes:
    out = io.BytesIO()
    with Image.open(path) as image:
        image.thumbnail((SIDE, SIDE))
        image.save(out, "JPEG")
    return out.getvalue()


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="plain_script")
    parser.add_argument("folder", type=Path)
    parser.add_argument("url")
    parser.add_argument("concurrency", type=int)
    parser.add_argument("window", type=float, help="seconds of the account's window")
    parser.add_argument("limit", type=float, help="seconds after which nothing more is asked")
    parser.add_argument("--shrink", action="store_true", help="send a thumbnail of 728 pixels")
    return parser.parse_args()


if __name__ == "__main__":
    main()
