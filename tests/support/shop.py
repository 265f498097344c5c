"""Another app with its own Celery worker, which shares a broker with us: it sends mail."""

from __future__ import annotations

import os

from celery import Celery

URL = os.environ.get("SHOP_BROKER", "memory://")
app = Celery("shop", broker=URL, backend=URL)


@app.task(name="shop.mail")
def mail(to: str) -> str:
    return f"sent to {to}"
