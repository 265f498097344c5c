"""``overstory sandbox``: start the sandbox."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

PARENT_VARIABLE = "OVERSTORY_SANDBOX_PARENT_PID"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default="a free port", type=click.IntRange(0, 65535))
@click.option("--tier", help="A tier of the published tables, such as V0, b:V2, a:V5.")
@click.option("--concurrency", type=int, help="Limit of calls in flight (default: the tier's).")
@click.option("--rpm", type=int, help="Limit of requests in a window (default: the tier's).")
@click.option("--tpm", type=int, help="Limit of tokens in a window (default: the tier's).")
@click.option("--window-seconds", type=float, help="Length of the rolling window.")
@click.option("--latency", "latency_seconds", type=float, help="Seconds before a reply begins.")
@click.option(
    "--knee", type=int, help="Answer so many calls at once; others wait, none is refused."
)
@click.option(
    "--ledger", type=click.Path(dir_okay=False, path_type=Path), help="JSONL file to append to."
)
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--ready-fd", type=int, default=1, help="File descriptor for the ready line (default: stdout)."
)
def sandbox(
    host: str, port: int, ledger: Path | None, config: Path | None, ready_fd: int, **changes: Any
) -> None:
    """Serve a strict local stand-in for StepFun's API. It answers from pixels.

    Prints one line of JSON when it is ready: base_url and pid. --config FILE.json takes every
    setting of SandboxConfig; GET and POST /_sandbox/config read and change them at run time.
    """
    import asyncio

    from overstory.sandbox.api.server import serve

    def ready(base_url: str) -> None:
        line = json.dumps({"base_url": base_url, "pid": os.getpid()})
        os.write(ready_fd, f"{line}\n".encode())

    settings = _settings(
        config, {key: value for key, value in changes.items() if value is not None}
    )
    parent = os.environ.get(PARENT_VARIABLE)
    asyncio.run(serve(settings, host, port, ledger, ready, int(parent) if parent else None))


def _settings(path: Path | None, changes: dict[str, Any]) -> Any:
    """The config file, overridden by the options. Raises click.UsageError that names the error."""
    from pydantic import ValidationError

    from core.errors import WrongUsage
    from overstory.sandbox.config import SandboxConfig

    try:
        base = json.loads(path.read_text(encoding="utf-8")) if path else {}
        return SandboxConfig().changed(base | changes)
    except (ValueError, TypeError, ValidationError, WrongUsage) as error:
        raise click.UsageError(str(error)) from error
