"""Serve the eyes alone: python -m benchmarks.eyes [--port 8123] [--most-images 3]

Then OVERSTORY_PROVIDER=openai OVERSTORY_BASE_URL=http://127.0.0.1:8123/v1 OVERSTORY_API_KEY=none
OVERSTORY_MODEL=eyes overstory run ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.eyes.reading import Reader
from benchmarks.eyes.server import server

CACHE = Path("benchmarks/out/eyes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--most-images", type=int, help="refuse requests with more")
    parser.add_argument("--threads", type=int, default=1, help="of recognition")
    args = parser.parse_args()
    running = server(Reader(CACHE, args.threads).rows, args.port, args.most_images)
    print(f"http://127.0.0.1:{running.server_port}/v1", flush=True)
    running.serve_forever()


if __name__ == "__main__":
    main()
