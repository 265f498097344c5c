"""A web app that asks questions about images: Flask and ``overstory.Client``.

    OVERSTORY_BROKER_URL=... OVERSTORY_DATABASE_URL=... flask --app app run

    POST /questions {"images": ["/inputs/receipts"], "ask": "What was bought?"}  -> 202, the job
    GET  /questions/<job>           its state, and the answer when it has ended
    GET  /questions/<job>/events    server-sent events
    POST /hooks/overstory           a signed webhook

A request never waits for a job. It returns the job's id at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, request
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

import overstory
from core.errors import ServiceAway, WrongUsage


def create_app() -> Flask:
    app = Flask("photos")
    client = overstory.Client()
    deliveries: list[Any] = []
    app.extensions["overstory"] = client
    app.extensions["deliveries"] = deliveries

    @app.post("/questions")
    def ask() -> tuple[dict[str, Any], int]:
        job = client.submit(**request.get_json())
        return {"job": job, "status": f"/questions/{job}"}, 202

    @app.get("/questions/<job>")
    def answer(job: str) -> dict[str, Any]:
        return client.result(job)

    @app.get("/questions/<job>/events")
    def events(job: str) -> Response:
        def lines() -> Iterator[str]:
            for event in client.events(job):
                data = json.dumps({"name": event.name, "position": event.position})
                yield f"id: {event.id}\ndata: {data}\n\n"

        return Response(lines(), mimetype="text/event-stream")

    @app.post("/hooks/overstory")
    def hook() -> tuple[str, int]:
        """The job has ended. A delivery may come twice, with the same webhook-id."""
        verifier = Webhook(os.environ["OVERSTORY_WEBHOOK_SECRET"])
        try:
            deliveries.append(verifier.verify(request.get_data(), dict(request.headers)))
        except WebhookVerificationError as error:
            return str(error), 401
        return "", 204

    @app.errorhandler(WrongUsage)
    def wrong(error: WrongUsage) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, 400

    @app.errorhandler(ServiceAway)
    def away(error: ServiceAway) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, 503

    return app
