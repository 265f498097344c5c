"""The integration examples for other apps, each run against one running service."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

import overstory
from core.errors import WrongUsage
from core.settings import Settings, load
from tests.support.waiting import eventually
from workers.endpoints import broker_url

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


@pytest.fixture(scope="module")
def service_home() -> Iterator[Path]:
    """The state folder of a running service."""
    folder = Path(tempfile.mkdtemp(prefix="overstory-up-"))
    given = {"OVERSTORY_HOME": str(folder), "OVERSTORY_WEBHOOK_SECRET": SECRET}
    given |= {"OVERSTORY_WEBHOOK_HOSTS": "127.0.0.1", "OVERSTORY_SANDBOX": "true"}
    given |= {"OVERSTORY_INPUT_ROOTS": tempfile.gettempdir()}  # where the tests' images are
    environment = {k: v for k, v in os.environ.items() if "OVERSTORY_" not in k} | given
    words = [sys.executable, "-m", "overstory"]
    try:
        up = subprocess.run(
            [*words, "up", "-d", "--no-flower", "--no-api"],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert up.returncode == 0, up.stderr
        yield folder
    finally:
        subprocess.run([*words, "down", "--now"], env=environment, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def settings(service_home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("OVERSTORY_HOME", str(service_home))
    monkeypatch.setenv("OVERSTORY_WEBHOOK_SECRET", SECRET)
    return load()


@pytest.fixture
def client(settings: Settings) -> Iterator[overstory.Client]:
    with overstory.Client(settings) as made:
        yield made


def test_a_client_runs_a_job_to_its_end(
    client: overstory.Client, make_images: Callable[..., Path]
) -> None:
    folder = make_images(3)
    job = client.submit([folder], "What?", key="client", label="mine")
    names = [event.name for event in client.events(job)]
    assert names[-1] == "job.completed"
    assert names.count("image.included") == 3
    result = client.result(job)
    assert result["coverage"]["included"] == 3
    assert result["answer"]
    assert client.submit([folder], "What?", key="client") == job
    with pytest.raises(WrongUsage, match="differs in ask"):
        client.submit([folder], "Where?", key="client")
    assert client.submit([folder], "Where?") != job


def test_a_workers_refusal_reaches_the_caller(client: overstory.Client, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="nowhere"):
        client.submit([tmp_path / "nowhere"], "What?")


def test_the_node_producer_enqueues(
    client: overstory.Client, settings: Settings, make_images: Callable[..., Path]
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    url = broker_url(settings)
    words = [node, "enqueue.mjs", "from-node", "What is there?", str(make_images(2, start=30))]
    done = subprocess.run(
        words,
        cwd=EXAMPLES / "node_producer",
        env=os.environ | {"BROKER_URL": url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert client.wait(done.stdout.strip(), 60).status == "completed"
    words[4] = "/nowhere/at/all.jpg"
    words[2] = "from-node-2"
    refused = subprocess.run(
        words,
        cwd=EXAMPLES / "node_producer",
        env=os.environ | {"BROKER_URL": url},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert "/nowhere/at/all.jpg" in refused.stderr


@pytest.fixture
def flask_app(settings: Settings) -> Iterator[Any]:
    path = EXAMPLES / "flask_app" / "app.py"
    spec = importlib.util.spec_from_file_location("flask_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = module.create_app()
    yield app
    app.extensions["overstory"].close()


def test_the_flask_app_answers_without_waiting(
    flask_app: Any, make_images: Callable[..., Path]
) -> None:
    browser = flask_app.test_client()
    folder = str(make_images(2, start=60))
    asked = browser.post("/questions", json={"images": [folder], "ask": "What?"})
    assert asked.status_code == 202
    stream = browser.get(f"{asked.json['status']}/events").get_data(as_text=True)
    assert '"job.completed"' in stream
    assert browser.get(asked.json["status"]).json["status"] == "completed"
    wrong = browser.post("/questions", json={"images": [folder], "ask": ""})
    assert (wrong.status_code, "ask" in wrong.json["error"]) == (400, True)


def test_a_webhook_reaches_the_flask_app(
    flask_app: Any, client: overstory.Client, make_images: Callable[..., Path]
) -> None:
    server = make_server("127.0.0.1", 0, flask_app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        hook = f"http://127.0.0.1:{server.server_port}/hooks/overstory"
        job = client.submit([make_images(2, start=90)], "What?", webhook=hook)
        deliveries = eventually(lambda: flask_app.extensions["deliveries"])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert deliveries[0]["type"] == "job.completed"
    assert deliveries[0]["data"]["job"] == job
