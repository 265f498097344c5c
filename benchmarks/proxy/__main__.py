"""LiteLLM's real proxy in front: are its limits, budgets and timeouts told rightly?

    python -m benchmarks.proxy --litellm build/litellm/bin/litellm      make bench-litellm

The command asks the proxy, which asks the sandbox. Each row is a limit of the proxy, or a fault of
the endpoint behind it. Exit status 1 if a row comes out otherwise than it should. About 8 minutes,
mostly spent waiting for windows of a minute.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Timer

from benchmarks.proxy import stand as proxy
from benchmarks.proxy.stand import IMAGES, Ran, Stand, spends

SAID_SHOWN = 96
SOME = IMAGES // 2
"""Requests that may be refused before a limit is known: those in flight."""
Row = Callable[[Stand], tuple[Ran, str, bool]]
"""Runs a row. What came of it, a pattern of what the command must have said, and whether the
figures are right."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", type=Path, required=True, help="its program")
    parser.add_argument("--only", default="", help="a part of a row's name")
    args = parser.parse_args()
    chosen = {name: row for name, row in ROWS.items() if args.only in name}
    failed = 0
    with (
        tempfile.TemporaryDirectory(prefix="overstory-proxy-") as folder,
        proxy.stand(args.litellm.absolute(), Path(folder)) as stand,
    ):
        print(f"{'':5}{'row':30}{'time':>7}{'status':>11}{'included':>10}{'refused':>9}  said")
        for name, row in chosen.items():
            stand.sandbox.configure(**QUIET)
            ran, words, is_right = row(stand)
            said = re.search(words, ran.said)
            held = is_right and said is not None
            failed += not held
            print(_line(name, ran, said, held), flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} rows hold")
    return 1 if failed else 0


def _line(name: str, ran: Ran, said: re.Match[str] | None, held: bool) -> str:
    status = ran.result.get("status", "none")
    included = ran.result.get("coverage", {}).get("included", 0)
    shown = said[0][:SAID_SHOWN] if said else "NOT SAID: " + ran.said[-400:]
    return (
        f"{'ok' if held else 'FAIL':5}{name:30}{ran.seconds:>5.0f} s{status:>11}{included:>10}"
        f"{ran.refused:>9}  {shown}"
    )


QUIET: dict[str, object] = {
    "latency_seconds": 0.3,
    "concurrency": None,
    "outage": False,
    "max_images": 60,
}
ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    def add(run: Row) -> Row:
        ROWS[name] = run
        return run

    return add


def is_whole(ran: Ran, refused: int = SOME) -> bool:
    """Whether all images are included, and hardly a request was refused."""
    included = ran.result.get("coverage", {}).get("included")
    return bool(ran.result["status"] == "completed" and included == IMAGES) and (
        0 <= ran.refused <= refused
    )


@row("no limit")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    ran = stand.run(proxy.PLAIN, pack=2)
    used, charged = ran.result["usage"], stand.sandbox.stats()
    is_right = used["prompt_tokens"] == charged["prompt_tokens"]
    return ran, r"job \w+: about [\d.]+ USD", is_right and is_whole(ran, refused=0)


@row("a wrong key")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    ran = stand.run(proxy.WRONG)
    return ran, r"the API key was refused.*", ran.result["status"] == "failed"


@row("an unknown model")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    ran = stand.run(proxy.PLAIN, "nosuch")
    return ran, r"set OVERSTORY_MODEL.*lists 3: .*vlm", ran.result["status"] == "failed"


@row("2 calls at once")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    ran = stand.run(proxy.PARALLEL)
    return ran, r"job \w+: about [\d.]+ USD", is_whole(ran)


@row("12 requests a minute")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    ran = stand.run(proxy.REQUESTS)
    return ran, r"Limit type: requests|requests a minute", is_whole(ran)


@row("40,000 tokens a minute")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    ran = stand.run(proxy.TOKENS)
    return ran, r"Limit type: tokens|tokens a minute", is_whole(ran)


@row("the key's budget, then raised")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    paused = r"paused: no balance: .*exceeded budget.*"

    def raise_it() -> None:
        stand.limit(proxy.BUDGET, spends(1.0))

    ran = stand.run(proxy.BUDGET, until=paused, then=raise_it)
    return ran, paused, is_whole(ran)


@row("the provider's budget")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    paused = r"paused: no balance: .*crossed budget.*"
    ran = stand.run(proxy.PLAIN, "budgeted", until=paused)
    return ran, paused, ran.result["status"] == "paused"


@row("the proxy's timeout")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    ran = _mended_later(stand, "impatient", latency_seconds=3.0)
    return ran, r"the endpoint ran into a timeout.*", is_whole(ran, refused=3 * IMAGES)


@row("an outage behind it")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    ran = _mended_later(stand, "vlm", outage=True)
    return ran, r"(tried again|all calls are refused|waiting).*", is_whole(ran, refused=3 * IMAGES)


@row("2 calls at once behind it")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    stand.sandbox.configure(concurrency=2)
    ran = stand.run(proxy.PLAIN)
    return ran, r"job \w+: about [\d.]+ USD", is_whole(ran, refused=3 * IMAGES)


@row("5 images a request behind it")
def _(stand: Stand) -> tuple[Ran, str, bool]:
    stand.sandbox.configure(max_images=5)
    ran = stand.run(proxy.PLAIN, pack=IMAGES)
    return ran, r"vlm takes at most \d.*", is_whole(ran)


def _mended_later(stand: Stand, model: str, **fault: object) -> Ran:
    """A run with a fault that ends after 15 seconds."""
    stand.sandbox.configure(**fault)
    mend = Timer(15.0, lambda: stand.sandbox.configure(**QUIET))
    mend.start()
    try:
        return stand.run(proxy.PLAIN, model)
    finally:
        mend.cancel()


if __name__ == "__main__":
    sys.exit(main())
