"""Many processes that write to one SQLite file.

Run as a program, it is one of them: reads, then writes, in short transactions, and times each.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from core.errors import ServiceAway
from models.engine import Database

WRITERS = 8
READ = text("SELECT count(*) FROM events WHERE job_id = 'nobody'")
WRITE = text(
    "INSERT INTO calls (key, account, model, status, images, reserved_tokens, currency,"
    " lease_token, lease_until, started_at)"
    " VALUES (:key, 'a', 'm', 'failed', 1, 1, 'USD', 't', 0, 0)"
)


def start_writer(path: Path, seconds: float) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", __name__, str(path), str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE)


def report_of(writer: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, _ = writer.communicate(timeout=60)
    with contextlib.suppress(ValueError):
        value: dict[str, Any] = json.loads(out)
        return value
    return {}


def main(path: str, seconds: float) -> None:
    database = Database(f"sqlite:///{path}")
    took, errors = [], []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        begun = time.monotonic()
        try:
            with database.write() as connection:
                connection.execute(READ)
                connection.execute(WRITE, {"key": f"{begun}"})
        except ServiceAway as error:
            errors.append(str(error))
        took.append((time.monotonic() - begun) * 1000)
    took.sort()
    report = {
        "writes": len(took) - len(errors),
        "p99_ms": round(took[int(len(took) * 0.99)], 1),
        "worst_ms": round(took[-1], 1),
        "errors": errors,
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
