"""The sandbox as a real process, used by the OpenAI SDK and raw HTTP."""

import base64
import http.client
import io
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count

import openai
import pytest
from PIL import Image

from clients.images.pillow import word_picture
from core.requests.canary import SIDE
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.process import SandboxProcess
from tests.support.waiting import eventually

MODEL = "step-3.7-flash"
WIDE = {"tier": "a:V5"}
KEYS = count()


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "ledger.jsonl") as process:
        yield process


@pytest.fixture
def sandbox(process):
    """The process with wide limits, no faults and counts at zero."""
    process.configure(**SandboxConfig(**WIDE).model_dump(mode="json"))
    process.reset()
    return process


@pytest.fixture
def client(sandbox):
    """A new account."""
    key = f"key-{next(KEYS)}"
    with openai.OpenAI(api_key=key, base_url=sandbox.base_url, max_retries=0) as client:
        yield client


def jpeg(colour="saddlebrown", size=(64, 48)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def inline(data, media="jpeg"):
    return f"data:image/{media};base64,{base64.b64encode(data).decode()}"


def image(url, detail="low"):
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}


def ask(client, *parts, **options):
    """One chat call: texts and image parts in, the completion out."""
    content = [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]
    messages = [{"role": "user", "content": content}]
    return client.chat.completions.create(
        **{"model": MODEL, "messages": messages, "temperature": 0.5} | options
    )


def upload(client, data, purpose="storage", name="a.jpg"):
    return client.files.create(file=(name, data), purpose=purpose)


def raw(sandbox, method, path, body=None, key="raw", **headers):
    """Status, headers and bytes of one raw HTTP exchange."""
    host = sandbox.base_url.removeprefix("http://").split("/")[0]
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        given = {"Authorization": f"Bearer {key}"} if key is not None else {}
        connection.request(method, path, body, given | headers)
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    finally:
        connection.close()


HELLO = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]})
CHAT = "/v1/chat/completions"


# answers


def test_stored_and_inline_images_are_answered_from_their_pixels(client):
    stored = image(f"stepfile://{upload(client, jpeg()).id}")
    reply = ask(client, stored, image(inline(jpeg("navy"))), "Images [17], [18]. Which are blue?")
    lines = reply.choices[0].message.content.splitlines()
    assert "1 blue: [18]." in lines[0]
    assert lines[1].startswith("[17] 64x48 landscape, mostly warm brown")
    assert lines[2].startswith("[18] 64x48 landscape, mostly cool blue")


def test_usage_counts_images_by_the_published_formula(client):
    low = ask(client, image(inline(jpeg(size=(1280, 720)))), "?").usage.prompt_tokens
    high = ask(client, image(inline(jpeg(size=(1280, 720))), "high"), "?").usage.prompt_tokens
    assert high - low == 670 - 171


def test_both_reasoning_fields_and_both_cached_counts_are_sent(client):
    long = "x" * 3000
    ask(client, long)
    reply = ask(client, long)
    message, usage = reply.choices[0].message, reply.usage
    assert message.reasoning == message.reasoning_content != ""
    assert usage.cached_tokens == usage.prompt_tokens_details.cached_tokens == 512
    assert usage.completion_tokens_details.reasoning_tokens == 0


def test_a_small_max_tokens_leaves_no_content(client):
    reply = ask(client, "hello", max_tokens=16)
    assert reply.choices[0].finish_reason == "length"
    assert reply.choices[0].message.content == ""
    assert reply.usage.completion_tokens == 16


def test_a_stream_ends_with_done_and_has_usage_in_every_chunk(client):
    whole = ask(client, image(inline(jpeg())), "Describe [1].")
    chunks = list(ask(client, image(inline(jpeg())), "Describe [1].", stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert all(chunk.usage for chunk in chunks)
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_json_answers_follow_the_schema(client):
    schema = {"type": "object", "additionalProperties": {"enum": ["red", "blue"]}}
    wanted = {"type": "json_schema", "json_schema": {"name": "colours", "schema": schema}}
    images = [image(inline(jpeg(colour))) for colour in ("red", "blue")]
    reply = ask(client, *images, "[7] and [8]", response_format=wanted)
    assert json.loads(reply.choices[0].message.content) == {"7": "red", "8": "blue"}


def test_a_summary_of_notes_echoes_their_markers(client):
    reply = ask(client, "[4] mostly red; dark\n[9] mostly blue; bright", "Sum up, cite as [99].")
    text = reply.choices[0].message.content
    assert ("[4]" in text, "[9]" in text, "[99]" in text) == (True, True, False)


def test_false_citations_name_what_was_never_sent(sandbox, client):
    sandbox.configure(false_citations=True)
    assert "[9999]" in ask(client, "[4] red", "Sum up.").choices[0].message.content


def test_a_canary_is_read_from_a_stored_file_and_from_a_data_url(client):
    hammer, tiger = word_picture("HAMMER", SIDE, SIDE), word_picture("TIGER", SIDE, SIDE)
    stored = image(f"stepfile://{upload(client, hammer, name='a.png').id}")
    reply = ask(client, image(inline(jpeg())), stored, image(inline(tiger, "png")), "Describe.")
    assert reply.choices[0].message.content.splitlines()[1:] == ["[2] HAMMER", "[3] TIGER"]


# a model that does not see everything


def three(client, **options):
    """A call that shows three images."""
    images = [image(inline(jpeg(colour))) for colour in ("red", "navy", "green")]
    return ask(client, *images, "Describe.", **options)


def test_the_ledger_names_the_images_that_were_seen(sandbox, client):
    shas = [sha256(jpeg(colour)).hexdigest() for colour in ("red", "navy", "green")]
    full = three(client).usage.prompt_tokens
    sandbox.configure(sees_first=2)
    reply = three(client)
    starts = [line for line in sandbox.ledger() if line["event"] == "start"][-2:]
    assert [line["images"] for line in starts] == [shas, shas]
    assert [line["seen"] for line in starts] == [shas, shas[:2]]
    assert full - reply.usage.prompt_tokens == 171
    assert starts[1]["prompt_tokens"] == reply.usage.prompt_tokens
    assert len(reply.choices[0].message.content.splitlines()) == 2


def test_a_prompt_is_cut_at_the_kept_tokens(sandbox, client):
    full = three(client).usage.prompt_tokens
    sandbox.configure(keeps_tokens=full - 1)
    reply = three(client, max_tokens=256_000)
    assert reply.usage.prompt_tokens == full - 1
    assert len(reply.choices[0].message.content.splitlines()) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_absent_usage_is_still_counted(sandbox, client, stream):
    sandbox.configure(usage="absent")
    reply = three(client, stream=stream)
    parts = list(reply) if stream else [reply]
    assert [part.usage for part in parts] == [None] * len(parts)
    stats, line = sandbox.stats(), sandbox.ledger()[-1]  # the line is written after the reply
    assert line["prompt_tokens"] == stats["prompt_tokens"] > 3 * 171
    assert line["completion_tokens"] > 0
    assert stats["max_tokens_window"] == line["prompt_tokens"] + line["completion_tokens"]


# refusals


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (inline(b"not an image"), "cannot be decoded"),
        ("data:image/jpeg;base64,@@@@", "broken base64"),
        ("data:image/bmp;base64,AAAA", "unsupported data URL"),
        ("data:image/png,AAAA", "unsupported data URL"),
        ("ftp://example.com/a.jpg", "unsupported image url"),
        ("http://example.com/a.jpg", "cannot download"),
        ("http://127.0.0.1:9/a.jpg", "cannot download"),
        ("stepfile://file-none", "not found"),
    ],
)
def test_an_image_that_cannot_be_loaded_is_a_400(client, url, words):
    with pytest.raises(openai.BadRequestError, match=words):
        ask(client, image(url), "?")


def test_the_61st_image_is_one_too_many(client):
    part = image(f"stepfile://{upload(client, jpeg()).id}")
    assert ask(client, *[part] * 60, "?").choices
    with pytest.raises(openai.BadRequestError, match="exceeds the model's limitation") as caught:
        ask(client, *[part] * 61, "?")
    assert caught.value.type == "images_too_many"


def test_images_too_large_together_are_a_400(sandbox, client):
    part = image(inline(jpeg()))
    sandbox.configure(max_image_bytes=len(part["image_url"]["url"]) * 2)
    assert ask(client, part, part, "?").choices
    with pytest.raises(openai.BadRequestError, match="total image size"):
        ask(client, part, part, part, "?")


def test_a_prompt_past_the_context_is_a_400(client):
    with pytest.raises(openai.BadRequestError, match="exceed the context"):
        ask(client, "x" * 128_000, model="step-1o-turbo-vision")
    with pytest.raises(openai.BadRequestError, match="exceed the context"):
        ask(client, "x", max_tokens=256_000)


def test_a_file_of_another_account_is_unknown(sandbox, client):
    file = upload(client, jpeg())
    stranger = client.with_options(api_key="stranger")
    with pytest.raises(openai.BadRequestError):
        ask(stranger, image(f"stepfile://{file.id}"), "?")
    sandbox.configure(unknown_file_status=404)
    with pytest.raises(openai.NotFoundError):
        ask(stranger, image(f"stepfile://{file.id}"), "?")


@pytest.mark.parametrize(
    ("method", "path", "body", "key", "status", "kind"),
    [
        ("POST", CHAT, HELLO, None, 401, "invalid_api_key"),
        ("POST", CHAT, HELLO, "", 401, "invalid_api_key"),
        ("POST", CHAT, HELLO, "bad", 401, "invalid_api_key"),
        ("GET", "/v1/models", None, "bad", 401, "invalid_api_key"),
        ("POST", CHAT, "{", "raw", 400, "request_params_invalid"),
        ("POST", CHAT, "[]", "raw", 400, "request_params_invalid"),
        ("POST", CHAT, '{"messages": []}', "raw", 400, "request_params_invalid"),
        ("POST", CHAT, '{"model": "gpt-4o"}', "raw", 400, "request_params_invalid"),
        ("GET", CHAT, None, "raw", 404, "not_found"),
        ("POST", "/v1/batches", "{}", "raw", 404, "not_found"),
        ("GET", "/v1/models/gpt-4o", None, "raw", 404, "not_found"),
        ("GET", "/v1/files/file-none", None, "raw", 404, "not_found"),
        ("POST", "/v1/files", "x", "raw", 400, "request_params_invalid"),
    ],
)
def test_every_refusal_has_the_envelope_and_no_retry_header(
    sandbox, method, path, body, key, status, kind
):
    got, headers, data = raw(sandbox, method, path, body, key)
    error = json.loads(data)["error"]
    assert (got, error["type"]) == (status, kind)
    assert set(error) == {"message", "type"}
    assert len(headers["x-trace-id"]) == 32
    assert not [name for name in headers if name == "retry-after" or "ratelimit" in name]


# limits


def test_a_call_past_the_concurrency_is_refused_until_one_ends(sandbox, client):
    sandbox.configure(tier="V0", hold=True)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(ask, client, "hello") for _ in range(8)]
        eventually(lambda: sandbox.stats()["refused_429"]["concurrency"] == 3)
        sandbox.configure(hold=False)
        errors = [error for error in (call.exception() for call in calls) if error]
    assert {type(error) for error in errors} == {openai.RateLimitError}
    assert errors[0].body["message"] == "concurrency reached, current: 6, limit: 5"
    assert errors[0].type == "rate_limited"
    assert len(errors) == 3
    assert ask(client, "hello").choices
    stats = sandbox.stats()
    assert (stats["max_in_flight"], stats["refused_429"]["concurrency"]) == (6, 3)


def test_a_stream_holds_its_place_to_the_end(sandbox, client):
    sandbox.configure(concurrency=1, hold=True)
    with ask(client, "hello", stream=True) as stream:
        with pytest.raises(openai.RateLimitError, match="current: 2, limit: 1"):
            ask(client, "hello")
        sandbox.configure(hold=False)
        list(stream)
    assert ask(client, "hello").choices


def test_a_client_that_leaves_gives_its_place_back(sandbox, client):
    sandbox.configure(concurrency=1, hold=True)
    leaving = http.client.HTTPConnection(sandbox.base_url.split("/")[2], timeout=60)
    key = {"Authorization": f"Bearer {client.api_key}"}
    leaving.request("POST", CHAT, HELLO, key | {"Content-Type": "application/json"})
    eventually(lambda: sandbox.stats()["in_flight"] == 1)
    leaving.close()
    eventually(lambda: sandbox.stats()["in_flight"] == 0)
    sandbox.configure(hold=False)
    assert ask(client, "hello").choices
    assert sandbox.stats()["abandoned"] == 1


def test_requests_above_the_rpm_get_the_documented_message(sandbox, client):
    sandbox.configure(rpm=2)
    ask(client, "1")
    ask(client, "2")
    with pytest.raises(openai.RateLimitError, match="RPM reached, current: 3, limit: 2"):
        ask(client, "3")
    sandbox.configure(window_seconds=0.001)
    assert ask(client, "4").choices
    assert sandbox.stats()["refused_429"]["rpm"] == 1


def test_tokens_above_the_tpm_get_the_documented_message(sandbox, client):
    sandbox.configure(tpm=1000)
    used = ask(client, "x" * 3000).usage.total_tokens
    with pytest.raises(
        openai.RateLimitError, match=r"TPM reached, current: 1[0-9]{3}, limit: 1000"
    ):
        ask(client, "x" * (4000 - 4 * (used - 100)))


def test_accounts_do_not_share_limits(sandbox, client):
    sandbox.configure(rpm=1)
    assert ask(client, "1").choices
    assert ask(client.with_options(api_key="somebody-else"), "1").choices


# files


def test_a_file_is_listed_read_and_deleted(client):
    file = upload(client, jpeg())
    assert file.id.startswith("file-")
    assert (file.purpose, file.status, file.bytes) == ("storage", "processed", len(jpeg()))
    assert [each.id for each in client.files.list().data] == [file.id]
    assert client.files.retrieve(file.id).filename == "a.jpg"
    with pytest.raises(openai.BadRequestError, match="file-extract"):
        client.files.content(file.id)
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.delete(file.id)


@pytest.mark.parametrize(
    ("changes", "data", "purpose", "words"),
    [
        ({}, jpeg(), "vision", "invalid purpose"),
        ({}, b"plain text", "storage", "format is not supported"),
        ({"max_file_bytes": 100}, jpeg(), "storage", "exceeds 100 bytes"),
        ({"max_files": 0}, jpeg(), "storage", "exceeds the limit of 0"),
    ],
)
def test_a_file_that_the_store_refuses_is_a_400(sandbox, client, changes, data, purpose, words):
    sandbox.configure(**changes)
    with pytest.raises(openai.BadRequestError, match=words):
        upload(client, data, purpose)


def test_the_status_of_a_file_varies_as_it_does_in_the_docs(sandbox, client):
    seen = []
    for status in ("success", "processed", None):
        sandbox.configure(file_status=status)
        seen.append("status" in upload(client, jpeg()).model_fields_set)
    assert seen == [True, True, False]


def test_a_broken_image_is_stored_and_refused_when_it_is_used(client):
    file = upload(client, jpeg()[:100])
    with pytest.raises(openai.BadRequestError, match="cannot be decoded"):
        ask(client, image(f"stepfile://{file.id}"), "?")


# the small endpoints


def test_models_balance_and_token_count_answer(sandbox, client):
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).owned_by == "stepai"
    assert json.loads(raw(sandbox, "GET", "/v1/accounts")[2])["balance"] == 100.0
    counted = json.loads(raw(sandbox, "POST", "/v1/token/count", HELLO)[2])
    assert counted["data"]["total_tokens"] == ask(client, "hello").usage.prompt_tokens


class OneImage(BaseHTTPRequestHandler):
    """Serves one JPEG for every request."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(jpeg("red"))

    def log_message(self, *args):
        """Log nothing."""


def test_loopback_urls_are_downloaded_when_that_is_allowed(sandbox, client):
    sandbox.configure(allow_loopback_urls=True)
    with HTTPServer(("127.0.0.1", 0), OneImage) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        reply = ask(client, image(f"http://127.0.0.1:{server.server_port}/a.jpg"), "[1]")
        thread.join()
    assert "red" in reply.choices[0].message.content


# faults


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("451", openai.APIStatusError, 451),
        ("429", openai.RateLimitError, 429),
        ("500", openai.InternalServerError, 500),
        ("503", openai.InternalServerError, 503),
        ("504", openai.InternalServerError, 504),
        ("timeout", openai.InternalServerError, 503),
        ("reset", openai.APIConnectionError, None),
        ("cut", openai.APIConnectionError, None),
        ("invalid_json", json.JSONDecodeError, None),
    ],
)
def test_a_scripted_fault_happens_once(sandbox, client, fault, error, status):
    sandbox.configure(script=[fault], hang_seconds=0.01)
    with pytest.raises(error) as caught:
        ask(client, "hello")
    assert getattr(caught.value, "status_code", None) == status
    assert ask(client, "hello").choices
    assert sandbox.stats()["paid"] == 1 + (fault == "invalid_json")


@pytest.mark.parametrize(
    ("fault", "finish"),
    [("content_filter", "content_filter"), ("length", "length"), ("empty", "stop")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_spoiled_reply_is_a_200_without_content(sandbox, client, fault, finish, stream):
    sandbox.configure(script=[fault])
    reply = ask(client, "hello", stream=stream)
    last = list(reply)[-1] if stream else reply
    choice = last.choices[0]
    assert (choice.finish_reason, (choice.delta if stream else choice.message).content) == (
        finish,
        "",
    )


def test_no_choices_is_a_200_with_an_empty_list(sandbox, client):
    sandbox.configure(script=["no_choices"])
    assert ask(client, "hello").choices == []


def test_a_cut_stream_has_no_done_marker(sandbox):
    sandbox.configure(script=["cut"])
    body = json.dumps(json.loads(HELLO) | {"stream": True})
    with pytest.raises(http.client.IncompleteRead) as caught:
        raw(sandbox, "POST", CHAT, body)
    assert b"data: {" in caught.value.partial
    assert b"[DONE]" not in caught.value.partial
    assert sandbox.stats()["cut"] == 1


def test_moderation_refuses_the_same_content_every_time(sandbox, client):
    bad, good = jpeg("magenta"), jpeg("green")
    file = upload(client, bad)
    for match in (sha256(bad).hexdigest(), "colour:pink", "forbidden"):
        sandbox.configure(keyed=[{"match": match}])
        for part in (image(inline(bad)), image(f"stepfile://{file.id}")):
            with pytest.raises(openai.APIStatusError) as caught:
                ask(client, image(inline(good)), part, "a forbidden word")
            assert caught.value.status_code == 451
            assert caught.value.type == "censorship_blocked"
        assert ask(client, image(inline(good)), "fine").choices


@pytest.mark.parametrize(
    ("switch", "status"),
    [("outage", 503), ("no_balance", 402), ("always_429", 429), ("refuse_keys", 401)],
)
def test_a_switch_closes_the_service_and_opens_it_again(sandbox, client, switch, status):
    sandbox.configure(**{switch: True})
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, "hello")
    assert caught.value.status_code == status
    sandbox.configure(**{switch: False})
    assert ask(client, "hello").choices


def test_an_outage_is_counted_and_a_forced_429_names_the_true_limit(sandbox, client):
    sandbox.configure(outage=True, concurrency=7)
    for call in (lambda: ask(client, "hello"), client.models.list, lambda: upload(client, jpeg())):
        with pytest.raises(openai.InternalServerError):
            call()
    sandbox.configure(outage=False, always_429=True)
    with pytest.raises(openai.RateLimitError, match="current: 8, limit: 7"):
        ask(client, "hello")
    assert sandbox.stats()["replies"] == {"503": 1, "429": 1}


def test_fault_rates_give_that_share_of_faults(sandbox, client):
    sandbox.configure(rates={"503": 0.5}, seed=3)
    outcomes = [raw(sandbox, "POST", CHAT, HELLO)[0] for _ in range(100)]
    assert 30 < outcomes.count(503) < 70
    assert outcomes.count(200) + outcomes.count(503) == 100


def test_faults_on_files_hit_uploads(sandbox, client):
    sandbox.configure(faults_on=["files"], script=["503", "reset", "cut"])
    for error in (openai.InternalServerError, openai.APIConnectionError, openai.APIConnectionError):
        with pytest.raises(error):
            upload(client, jpeg())
    assert upload(client, jpeg()).id
    assert sandbox.stats()["uploads"] == 2


def test_a_wrong_change_is_refused_and_changes_nothing(sandbox):
    with pytest.raises(urllib.error.HTTPError) as caught:
        sandbox.configure(outage=True, tier="V9")
    with caught.value as reply:
        assert reply.code == 400
        assert "unknown tier" in json.load(reply)["error"]["message"]
    assert json.loads(raw(sandbox, "GET", "/_sandbox/config")[2])["outage"] is False


# the ledger


def test_the_ledger_shows_requests_paid_twice(sandbox, client):
    before = len(sandbox.ledger())
    first, second = (upload(client, jpeg()) for _ in range(2))
    for file in (first, second):
        ask(client, image(f"stepfile://{file.id}"), "Same question")
    ask(client, image(inline(jpeg())), "Other question")
    client.files.delete(first.id)
    stats, lines = sandbox.stats(), sandbox.ledger()[before:]
    assert (stats["calls"], stats["paid"], stats["distinct_requests"]) == (3, 3, 2)
    assert stats["repeated_paid"] == 1
    assert [line["event"] for line in lines] == (
        ["upload"] * 2 + ["start", "reply"] * 3 + ["delete"]
    )
    assert lines[2]["images"] == [sha256(jpeg()).hexdigest()]
    assert lines[2]["request"] == lines[4]["request"] != lines[6]["request"]


def test_a_refused_call_is_in_the_ledger_and_not_paid(sandbox, client):
    with pytest.raises(openai.BadRequestError):
        ask(client, "hello", temperature=9)
    line = sandbox.ledger()[-1]
    assert (line["status"], line["kind"]) == (400, "request_params_invalid")
    assert sandbox.stats()["paid"] == 0


# the process


def test_five_hundred_calls_wait_at_once(sandbox):
    sandbox.configure(hold=True)
    host = sandbox.base_url.removeprefix("http://").split("/")[0]
    connections = [http.client.HTTPConnection(host, timeout=120) for _ in range(500)]
    for connection in connections:
        connection.request("POST", CHAT, HELLO, {"Authorization": "Bearer many"})
    eventually(lambda: sandbox.stats()["in_flight"] == 500)
    sandbox.configure(hold=False)
    statuses = set()
    for connection in connections:
        statuses.add(connection.getresponse().status)
        connection.close()
    assert statuses == {200}


def test_the_sandbox_ends_with_its_parent():
    code = (
        "import os\n"
        "from overstory.sandbox.process import SandboxProcess\n"
        "print(SandboxProcess().start().base_url, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    # the sandbox holds the pipe to stderr, so run() returns only when it has ended
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(done.stdout.strip(), timeout=10)


@pytest.mark.parametrize(
    ("option", "value"), [("--tier", "V9"), ("--rpm", "0"), ("--window-seconds", "-1")]
)
def test_wrong_options_are_wrong_usage(option, value):
    words = [sys.executable, "-m", "overstory.sandbox", option, value]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2


def test_the_ready_line_names_the_pid_and_sigterm_ends_it():
    words = [sys.executable, "-m", "overstory.sandbox", "--latency", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        assert ready["base_url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
