"""The script of a careful person: packs of shrunk pictures, a thread pool, the SDK's own retries.

    python -m benchmarks.pipeline.careful_script FOLDER URL CALLS

It imports nothing of Overstory. One thread for each core shrinks the pictures, in order, by
Pillow's scaled decode: faster than processes, or than shrinking in the threads that call. CALLS
threads send 60 pictures a request, inside it, and ask for notes. One last call answers the question
over all notes. Prints one line of JSON: answers (pictures in the answer), images, retries, seconds.

It keeps nothing: after a crash everything is paid again, and one refused pack ends it. There is no
level between the notes and the answer, so the notes must fit the model's context.
"""

import base64
import io
import json
import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
from PIL import Image

ASK = "What is in these pictures, and which stand out?"
MODEL, SIDE, QUALITY, PACK = "step-3.7-flash", 728, 80, 60


def data_url(path: Path) -> str:
    out = io.BytesIO()
    with Image.open(path) as image:
        image.draft("RGB", (SIDE, SIDE))
        image.thumbnail((SIDE, SIDE))
        image.save(out, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def main() -> None:
    folder, url, calls = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    begun, retries = time.monotonic(), []
    client = openai.OpenAI(api_key="careful-script-0123", base_url=url, max_retries=100)
    files = sorted(folder.iterdir())

    def complete(parts: list[Any]) -> str:
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": parts}]
        )
        retries.append(raw.retries_taken)
        return raw.parse().choices[0].message.content or ""

    def notes(pack: list[tuple[str, Future[str]]]) -> str:
        parts: list[Any] = [{"type": "text", "text": f"Take notes to answer: {ASK}"}]
        for name, thumbnail in pack:
            image = {"url": thumbnail.result(), "detail": "low"}
            parts += [{"type": "text", "text": name}, {"type": "image_url", "image_url": image}]
        return complete(parts)

    with ThreadPoolExecutor(os.cpu_count()) as shrinking, ThreadPoolExecutor(calls) as calling:
        pictures = [(path.name, shrinking.submit(data_url, path)) for path in files]
        packs = [pictures[at : at + PACK] for at in range(0, len(pictures), PACK)]
        taken = list(calling.map(notes, packs))
    text = "\n\n".join([*taken, ASK])
    answer = complete([{"type": "text", "text": text}]) if len(taken) > 1 else taken[0]
    noted = sum(len(pack) for pack, note in zip(packs, taken, strict=True) if note)
    result = {"answers": noted if answer else 0, "images": len(files), "retries": sum(retries)}
    print(json.dumps(result | {"seconds": time.monotonic() - begun}))


if __name__ == "__main__":
    main()
