"""The same question with Daft's ``prompt``: a row and a request for each picture.

    build/daft/bin/python benchmarks/pipeline/daft_script.py FOLDER URL CALLS

It runs in an environment of its own (``make build/daft/.stamp``). A function of Pillow shrinks the
pictures as the careful script does. ``prompt`` takes one picture of each row, which is its form: it
has no list of pictures. One last ``prompt`` answers the question over all notes. The SDK beneath
Daft repeats refused calls. Prints one line of JSON: answers, images, seconds.
"""

import io
import json
import sys
import time
from pathlib import Path

import daft
from daft.ai.openai.provider import OpenAIProvider
from daft.functions import prompt
from PIL import Image

ASK = "What is in these pictures, and which stand out?"
MODEL, SIDE, QUALITY = "step-3.7-flash", 728, 80


@daft.func
def shrunk(path: str) -> bytes:
    out = io.BytesIO()
    with Image.open(path) as image:
        image.draft("RGB", (SIDE, SIDE))
        image.thumbnail((SIDE, SIDE))
        image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def main() -> None:
    folder, url, calls = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    begun = time.monotonic()
    provider = OpenAIProvider(base_url=url, api_key="daft-script-0123")
    options = {"model": MODEL, "use_chat_completions": True, "max_retries": 100}
    options |= {"provider": provider, "concurrency": calls}
    paths = sorted(str(path) for path in folder.iterdir())
    note = prompt([daft.lit("What is in this picture?"), shrunk(daft.col("path"))], **options)
    rows = daft.from_pydict({"path": paths}).with_column("note", note).to_pydict()
    noted = [text for text in rows["note"] if text]
    last = daft.from_pydict({"notes": ["\n\n".join([*noted, ASK])]})
    answer = last.with_column("answer", prompt(daft.col("notes"), **options)).to_pydict()["answer"]
    answers = len(noted) if answer[0] else 0
    seconds = time.monotonic() - begun
    print(json.dumps({"answers": answers, "images": len(paths), "seconds": seconds}))


if __name__ == "__main__":
    main()
