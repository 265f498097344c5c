"""The script a user would write: the SDK in a thread pool, one image a request, retry on 429.

    python -m benchmarks.pipeline.plain_script FOLDER URL CONCURRENCY WINDOW_SECONDS LIMIT_SECONDS

It imports none of Overstory. Prints one line of JSON: answers, images, retries and seconds. Its
backoff is that of many such scripts (1 s doubled up to a minute, with jitter), scaled in time like
the window. It stops asking after LIMIT_SECONDS; what it did by then gives its rate.
"""

from __future__ import annotations

import base64
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai

ASK = "What is in this picture?"
MODEL = "step-3.7-flash"


def main() -> None:
    folder, base_url, concurrency, window, limit = sys.argv[1:]
    client = openai.OpenAI(api_key="plain-script-0123", base_url=base_url, max_retries=0)
    begun = time.monotonic()
    deadline = begun + float(limit)
    files = sorted(Path(folder).iterdir())
    retries = [0]

    def ask(path: Path) -> str | None:
        data = base64.b64encode(path.read_bytes()).decode()
        parts = [
            {
                "type": "image_url",
                "image_url": {"url": f"data:image/jpeg;base64,{data}", "detail": "low"},
            },
            {"type": "text", "text": ASK},
        ]
        wait = 1.0
        while time.monotonic() < deadline:
            try:
                reply = client.chat.completions.create(
                    model=MODEL,
                    messages=[{"role": "user", "content": parts}],  # type: ignore[list-item]
                )
                return reply.choices[0].message.content
            except openai.RateLimitError:
                retries[0] += 1
                time.sleep(random.uniform(0.5, 1.0) * wait * float(window) / 60)
                wait = min(2 * wait, 60.0)
        return None

    with ThreadPoolExecutor(int(concurrency)) as pool:
        answers = sum(answer is not None for answer in pool.map(ask, files))
    seconds = time.monotonic() - begun
    print(
        json.dumps(
            {"answers": answers, "images": len(files), "retries": retries[0], "seconds": seconds}
        )
    )


if __name__ == "__main__":
    main()
