"""The script a user would write: the SDK in a thread pool, one image per request, retry on 429.

    python -m benchmarks.pipeline.plain_script FOLDER URL CONCURRENCY WINDOW_SECONDS LIMIT_SECONDS
        [--shrink]

It imports nothing of Overstory. It sends files unchanged, as base64 in the request, as such scripts
do. With ``--shrink`` it sends Pillow's thumbnail of 728 pixels instead. Its backoff is the common
one (1 s, doubled up to a minute, with jitter), scaled in time like the window. It sends no request
after LIMIT_SECONDS; its work until then gives its rate. Prints one line of JSON: answers, images,
retries and seconds. It answers for each image, but not for the set.

The sandbox decodes what the script sends, on the same cores. For phone photographs that takes as
much CPU as our own preparation; a real provider would not use the user's machine. So where the CPU
limits the script (many calls at once), it would be faster in practice, up to the speed of its
network: 2 MB per image.
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
"""Pixels of the long side that the model uses at low detail."""


def main() -> None:
    args = _arguments()
    client = openai.OpenAI(api_key="plain-script-0123", base_url=args.url, max_retries=0)
    begun = time.monotonic()
    deadline = begun + args.limit
    files = sorted(args.folder.iterdir())
    retries = [0]

    def ask(path: Path) -> str | None:
        if time.monotonic() > deadline:
            return None
        data = base64.b64encode(_shrunk(path) if args.shrink else path.read_bytes()).decode()
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
                time.sleep(random.uniform(0.5, 1.0) * wait * args.window / 60)
                wait = min(2 * wait, 60.0)
        return None

    with ThreadPoolExecutor(args.concurrency) as pool:
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="plain_script")
    parser.add_argument("folder", type=Path)
    parser.add_argument("url")
    parser.add_argument("concurrency", type=int)
    parser.add_argument("window", type=float, help="length of the account's window in seconds")
    parser.add_argument("limit", type=float, help="seconds after which no request is sent")
    parser.add_argument("--shrink", action="store_true", help="send a thumbnail of 728 pixels")
    return parser.parse_args()


if __name__ == "__main__":
    main()
