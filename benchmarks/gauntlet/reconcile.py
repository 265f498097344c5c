"""A reconciler in a process of its own: ``python -m benchmarks.gauntlet.reconcile``."""

from __future__ import annotations

import os
import signal
import threading
import time

from benchmarks.gauntlet import crashpoints
from core import settings as configuration
from tasks.maintenance import Reconciler
from workers.app import make_app
from workers.logs import configure_logs
from workers.services import build_services


def main() -> None:
    settings = configuration.load()
    configure_logs(settings)
    crashpoints.install()
    services = build_services(settings, make_app(settings))
    signal.signal(signal.SIGTERM, lambda number, frame: services.stopping.set())
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    Reconciler(services).run()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
