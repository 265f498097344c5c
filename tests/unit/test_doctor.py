"""The doctor's findings; no process is started and no network is used."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clients.limiter.script import AccountState, AutoState
from core.catalog.tiers import AccountLimits
from core.errors import (
    AccountPaused,
    KeyRefused,
    LimitKind,
    OverstoryError,
    ProviderDown,
    ReplyUnusable,
    RequestRefused,
    SlowDown,
    WrongUsage,
)
from core.settings import load
from overstory.doctor import checks, command, configuration, endpoint, machine, parts, queues
from overstory.doctor.checks import Check
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, Level, failed, ok, warning
from overstory.local import urls

URL = "https://api.stepfun.ai/v1"
QUEUES = {"submit", "preprocess", "upload", "infer", "aggregate"}


def examined(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Context:
    """A context with only these environment variables."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Context.examine(environment)


# --- settings


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("OVERSTORY_TEIR", "OVERSTORY_TEIR (did you mean OVERSTORY_TIER?)"),
        ("OVERSTORY_API_KYE", "OVERSTORY_API_KYE (did you mean OVERSTORY_API_KEY?)"),
        ("OVERSTORY_BASEURL", "OVERSTORY_BASEURL (did you mean OVERSTORY_BASE_URL?)"),
        ("overstory_modell", "overstory_modell (did you mean OVERSTORY_MODEL?)"),
        ("OVERSTORY_SOMETHING_ELSE_ALTOGETHER", "OVERSTORY_SOMETHING_ELSE_ALTOGETHER"),
    ],
)
def test_a_misspelt_variable_is_named_with_its_nearest_setting(name: str, said: str) -> None:
    assert list(configuration.unknown_names([name])) == [said]


@pytest.mark.parametrize(
    "name",
    ["OVERSTORY_TIER", "overstory_tier", "STEPFUN_API_KEY", "OVERSTORY_PARENT_PID", "PATH"],
)
def test_a_known_variable_is_not_a_typing_error(name: str) -> None:
    assert list(configuration.unknown_names([name])) == []


def test_a_misspelt_variable_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = configuration.check(examined(monkeypatch, OVERSTORY_TEIR="V1"))
    assert finding.level == Level.WARNING
    assert finding.do is not None
    assert "OVERSTORY_TIER" in finding.do


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OVERSTORY_RPM", "many"),
        ("OVERSTORY_TIER", "V99"),
        ("OVERSTORY_PROVIDER", "acme"),
    ],
)
def test_a_wrong_value_fails_and_the_other_checks_wait(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    context = examined(monkeypatch, **{name: value})
    assert configuration.check(context).level == Level.FAILED
    assert [check.name for check in checks.applicable(context)] == ["settings", "python"]


def test_each_setting_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFUN_API_KEY", "sk-very-secret")
    monkeypatch.setenv("OVERSTORY_TIER", "V1")
    context = Context.examine(
        {"STEPFUN_API_KEY": "sk-very-secret", "OVERSTORY_TIER": "V1"}, Path("/elsewhere")
    )
    settings = {setting.name: setting for setting in configuration.settings_of(context)}
    assert settings["OVERSTORY_TIER"].source == "OVERSTORY_TIER"
    assert settings["OVERSTORY_RPM"].source == "default"
    assert settings["OVERSTORY_HOME"].source == "--home"
    key = settings["OVERSTORY_API_KEY"]
    assert (key.value, key.source) == ("present, not shown", "STEPFUN_API_KEY")


# --- secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hunter2@host:6379/0", "redis://:•••@host:6379/0"),
        ("postgresql://u:p%40ss@host/db", "postgresql://u:•••@host/db"),
        ("redis://:odd@word@host/0", "redis://:•••@host/0"),
        ("redis://:ab/cd+e@host:6379/0", "redis://:•••@host:6379/0"),
        ("redis://:ab?cd#e@host:6379/0", "redis://:•••@host:6379/0"),
        ("postgresql://u:p@ss/w@host/x", "postgresql://u:•••@host/x"),
        ("postgresql://u/v:p:ss@host/x", "postgresql://u/v:•••@host/x"),
        ("redis://host/0?password=hunter2&db=1", "redis://host/0?password=•••&db=1"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("unix:///run/valkey.sock?db=1", "unix:///run/valkey.sock?db=1"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert urls.masked(url) == shown


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("redis://:ab/cd+e@host:6379/0", True),
        ("redis://:12/cd@host:6379/0", False),  # looks like a host with a port
        ("postgresql://u:p@ss/w@host/x", True),
        ("postgresql://u:p%2Fw@host/x", False),
        ("redis://:odd@word@host/0", False),
        ("redis://host:6379/0?client=a@b", False),
        ("postgresql://u:p@host/x?client=a@b", False),
        ("sqlite:////home/me@work/a.db", False),
    ],
)
def test_an_unescaped_password_in_a_url_is_detected(url: str, wrong: bool) -> None:
    assert (urls.wrong_password(url) is not None) is wrong


@pytest.mark.parametrize("check", [parts.broker, parts.database])
def test_an_unescaped_password_is_reported_and_no_part_of_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, check: Any
) -> None:
    context = examined(
        monkeypatch,
        OVERSTORY_BROKER_URL="redis://:begin/ending@127.0.0.1:1/0",
        OVERSTORY_DATABASE_URL="postgresql://u:beg@in/ending@127.0.0.1/x",
    )
    finding = checks.run_check(Check("check", check), context)
    assert finding is not None
    assert "%2F" in finding.says
    assert "beg" not in finding.says
    assert "ending" not in finding.says
    loud = failed("invalid port 'begin', no host 'ending'", "ending")
    shown = checks.run_check(Check("loud", lambda _: loud), context)
    assert shown == failed("invalid port '•••', no host '•••'", "•••")


def test_no_finding_holds_a_key_or_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    context = examined(
        monkeypatch,
        OVERSTORY_API_KEY="sk-very-secret",
        OVERSTORY_DATABASE_URL="postgresql://u:hunter%402@host/db",
    )
    loud = failed("sk-very-secret hunter%402", "hunter@2", "sk-very-secret")
    finding = checks.run_check(Check("loud", lambda _: loud), context)
    assert finding == failed("••• •••", "•••", "•••")


@pytest.mark.parametrize("error", [WrongUsage("set it"), ZeroDivisionError("a bug of ours")])
def test_a_check_that_raises_is_a_failure_like_any_other(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def raises(context: Context) -> Finding:
        raise error

    finding = checks.run_check(Check("raises", raises), examined(monkeypatch))
    assert finding is not None
    assert finding.level == Level.FAILED
    assert str(error) in finding.says


# --- the endpoint


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (RequestRefused(404, "http_404", "not found"), "no API at this path"),
        (RequestRefused(308, "http_308", "moved"), "redirects"),
        (RequestRefused(400, "odd", "what?"), "what?"),
        (ReplyUnusable("invalid_json", "<html>"), "a web server"),
        (ProviderDown("503 overloaded", True, 503), "answers 503"),
        (ProviderDown("ConnectError: CERTIFICATE_VERIFY_FAILED", False), "certificate"),
        (ProviderDown("ConnectError: refused", False), "does not answer"),
        (WrongUsage("OVERSTORY_BASE_URL must be"), "must be"),
    ],
)
def test_an_unusable_endpoint_gives_the_reason(
    monkeypatch: pytest.MonkeyPatch, error: OverstoryError, word: str
) -> None:
    monkeypatch.setattr(endpoint, "resolves", lambda host: True)
    finding = endpoint.unreachable(error, URL)
    assert finding is not None
    assert finding.level == Level.FAILED
    assert word in finding.says
    assert finding.do


def test_an_unknown_host_differs_from_a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "resolves", lambda host: False)
    finding = endpoint.unreachable(ProviderDown("ConnectError: -2", False), URL)
    assert finding is not None
    assert "api.stepfun.ai is unknown (DNS)" in finding.says


LIMITED = SlowDown(LimitKind.RPM, 100, "rpm limit")


@pytest.mark.parametrize("error", [KeyRefused(), AccountPaused(), LIMITED])
def test_an_endpoint_that_refuses_the_key_counts_as_reached(error: OverstoryError) -> None:
    assert endpoint.unreachable(error, URL) is None


@pytest.mark.parametrize(
    ("answer", "has_key", "level", "word"),
    [
        (["m"], True, Level.OK, "accepted"),
        (["m"], False, Level.OK, "requires none"),
        (KeyRefused("401"), True, Level.FAILED, "401"),
        (KeyRefused("401"), False, Level.FAILED, "no key is set"),
        (AccountPaused("no money"), True, Level.FAILED, "402"),
        (LIMITED, True, Level.OK, "at its limit"),
    ],
)
def test_the_key_check_follows_the_endpoints_reply(
    answer: Any, has_key: bool, level: Level, word: str
) -> None:
    finding = endpoint.key_finding(answer, has_key, "USD")
    assert finding is not None
    assert (finding.level, word in finding.says) == (level, True)


def test_the_key_is_not_checked_when_the_endpoint_does_not_answer() -> None:
    assert endpoint.key_finding(ProviderDown("away", False), True, "USD") is None


@pytest.mark.parametrize(
    ("base_url", "key", "expected"),
    [
        ("http://gpu-box:8000/v1", "sk-1234", True),
        ("http://gpu-box:8000/v1", None, False),
        ("http://127.0.0.1:8000/v1", "sk-1234", False),
        ("http://localhost:8000/v1", "sk-1234", False),
        ("https://api.stepfun.ai/v1", "sk-1234", False),
    ],
)
def test_a_key_sent_without_tls_is_reported(base_url: str, key: str | None, expected: bool) -> None:
    assert endpoint.in_the_clear(load(base_url=base_url, api_key=key)) is expected


@pytest.mark.parametrize(
    ("settings", "listed", "level", "word"),
    [
        ({}, ["step-3.7-flash"], Level.OK, "60 images"),
        ({}, [], Level.OK, "60 images"),
        ({"model": "step-3.7-flsh"}, ["step-3.7-flash", "x"], Level.FAILED, "not among the 2"),
        ({"model": "step-3.5-flash"}, ["step-3.5-flash"], Level.WARNING, "accept images"),
        ({"model": "qwen", "provider": "openai"}, ["qwen"], Level.WARNING, "assumed"),
        (
            {"model": "gpt-4o", "provider": "openai", "base_url": "https://api.openai.com/v1"},
            ["gpt-4o"],
            Level.OK,
            "(1,500 by --pack), 128,000 tokens, images counted by OpenAI's formula, as of 2026-08",
        ),
        (
            {
                "model": "qwen",
                "provider": "openai",
                "context_tokens": 8192,
                "images_per_request": 8,
            },
            ["qwen"],
            Level.OK,
            "not checked",
        ),
    ],
)
def test_the_model_check_follows_the_endpoints_list(
    settings: dict[str, Any], listed: list[str], level: Level, word: str
) -> None:
    finding = endpoint.model_finding(load(**settings), listed)
    assert (finding.level, word in finding.says) == (level, True)


def test_an_unknown_model_is_answered_with_the_nearest_name() -> None:
    finding = endpoint.model_finding(load(model="step-3.7-flsh"), ["step-3.7-flash", "other"])
    assert finding.do == "set OVERSTORY_MODEL to one that accepts images: step-3.7-flash"


@pytest.mark.parametrize(
    ("left", "level"), [(12.5, Level.OK), (None, Level.OK), (0.0, Level.WARNING)]
)
def test_an_empty_balance_is_a_warning(left: float | None, level: Level) -> None:
    assert endpoint.balance_finding(left, "USD").level == level


@pytest.mark.parametrize(
    ("base_url", "level"),
    [
        ("http://127.0.0.1:11434/v1", Level.OK),
        ("http://[::1]:8000/v1", Level.OK),
        ("http://192.168.1.5:8000/v1", Level.OK),
        ("http://localhost:8000/v1", Level.OK),
        ("http://vllm:8000/v1", Level.OK),
        ("https://gpu.internal/v1", Level.OK),
        ("https://8.8.8.8/v1", Level.WARNING),
        ("https://models.example.com/v1", Level.WARNING),
    ],
)
def test_an_unknown_price_is_no_warning_at_a_server_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, base_url: str, level: Level
) -> None:
    given = {"OVERSTORY_BASE_URL": base_url, "OVERSTORY_API_KEY": "k", "OVERSTORY_MODEL": "llava"}
    finding = endpoint.prices(examined(monkeypatch, **given))
    assert finding is not None
    assert finding.level == level
    assert finding.says.startswith("no price of llava is known")


def test_without_a_key_the_sandbox_is_a_warning_and_endpoint_checks_are_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = examined(monkeypatch)
    assert endpoint.endpoint(context).level == Level.WARNING
    rest = (endpoint.key, endpoint.model, endpoint.files, endpoint.balance)
    assert [check(context) for check in rest] == [None] * 4


def test_an_external_broker_has_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    context = examined(monkeypatch, OVERSTORY_BROKER_URL="redis://127.0.0.1:1/0")
    assert endpoint.endpoint(context).level == Level.FAILED


# --- the parts


@pytest.mark.parametrize(
    ("revision", "level"),
    [("0002", Level.OK), ("0001", Level.WARNING), (None, Level.WARNING), ("0009", Level.FAILED)],
)
def test_a_database_by_its_revision(revision: str | None, level: Level) -> None:
    assert parts.revision_finding("sqlite", revision, ["0002", "0001"]).level == level


@pytest.mark.parametrize(
    ("taken", "embedded", "level"),
    [
        ({"a@x": QUEUES}, False, Level.OK),
        ({"a@x": {"submit", "preprocess", "upload"}, "b@x": {"infer", "aggregate"}}, False, "ok"),
        ({"a@x": QUEUES - {"infer"}}, False, Level.FAILED),
        ({}, False, Level.FAILED),
        ({}, True, Level.WARNING),
    ],
)
def test_every_queue_needs_somebody(taken: Any, embedded: bool, level: Level) -> None:
    assert parts.queues_finding(taken, embedded, len(taken)).level == level


def answering(*queues: str) -> list[dict[str, list[dict[str, str]]]]:
    """Replies of several workers that share one name."""
    return [{"celery@x": [{"name": name} for name in words.split(",")]} for words in queues]


@pytest.mark.parametrize(
    ("answers", "level", "word"),
    [
        (
            answering("preprocess", "submit,upload", "infer,aggregate"),
            Level.WARNING,
            "3 workers answered",
        ),
        (answering("submit,upload", "infer,aggregate"), Level.FAILED, "no worker consumes prep"),
    ],
)
def test_workers_with_one_name_are_all_counted_and_asked_to_use_own_names(
    monkeypatch: pytest.MonkeyPatch, answers: Any, level: Level, word: str
) -> None:
    context = examined(monkeypatch, OVERSTORY_BROKER_URL="redis://127.0.0.1:1/0")
    control = SimpleNamespace(broadcast=lambda *_, **__: answers)
    context.__dict__["app"] = SimpleNamespace(control=control)
    monkeypatch.setattr(parts, "is_up", lambda context: True)
    finding = parts.workers(context)
    assert finding is not None
    assert (finding.level, word in finding.says) == (level, True)
    said = " ".join([finding.says, finding.do or "", *finding.details])
    assert "celery@x: Flower takes them for one" in said
    assert "-n infer@%h" in said


OTHERS = {"submit": Counter[str](), "upload": Counter[str](), "celery": Counter[str]()}


@pytest.mark.parametrize(
    ("tasks", "workers", "declared", "word"),
    [
        ({"upload": Counter({"shop.mail": 2})}, {}, [], "queue upload: 2 messages of task shop"),
        ({"celery": Counter({"?": 1})}, {}, [], "queue celery: 1 message of task ?"),
        ({"celery": Counter({"overstory.submit": 1})}, {}, [], "1 submission that only a running"),
        ({}, {"celery@x": ["celery", "mail"]}, [], "worker celery@x of another app takes from cel"),
        ({}, {}, ["celery", "mail"], "declared the queues mail"),
    ],
)
def test_other_apps_on_the_broker_are_a_warning(
    tasks: Any, workers: Any, declared: Any, word: str
) -> None:
    finding = queues.neighbours_finding(OTHERS | tasks, workers, declared)
    assert finding.level == Level.WARNING
    assert word in finding.details[0]
    assert "database of its own" in (finding.do or "")


def test_a_broker_of_our_own_is_fine() -> None:
    tasks = OTHERS | {"submit": Counter({"overstory.submit": 5})}
    assert queues.neighbours_finding(tasks, {}, ["celery"]).level == Level.OK


def account_state(paused: str | None = None, learned: int = 5) -> AccountState:
    return AccountState(
        in_flight=2,
        requests=10,
        tokens=3000,
        configured=AccountLimits(5, 100, 500_000),
        learned=AccountLimits(learned, 100, 500_000),
        ceilings={},
        paused=paused,
        probe_seconds=None,
        binds=None,
        window_seconds=60.0,
    )


def test_a_paused_account_is_a_warning_with_its_reason() -> None:
    finding = parts.paused_or_ok(account_state(paused="no balance"), "5 calls")
    assert (finding.level, finding.says) == (Level.WARNING, "calls are paused: no balance")


def test_limits_learned_from_429s_are_shown() -> None:
    assert parts.paused_or_ok(account_state(), "5 calls").details == ()
    assert "concurrency=3" in parts.paused_or_ok(account_state(learned=3), "5 calls").details[0]


@pytest.mark.parametrize(
    ("auto", "line"),
    [
        (AutoState(7, 9, 200, "throughput"), "auto: 7 in flight now, 9 tried now: more would not"),
        (AutoState(200, 200, 200, "grows"), "auto: 200 in flight now: the most that it may"),
        (AutoState(4, 4, 200, "429"), "auto: 4 in flight now: the endpoint answered 429 above it"),
    ],
)
def test_a_limit_that_finds_itself_says_where_it_is_and_why(auto: AutoState, line: str) -> None:
    finding = parts.paused_or_ok(replace(account_state(), auto=auto), "200 calls at most")
    assert finding.details[0].startswith(line)


def test_a_missing_database_is_not_created(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context = examined(monkeypatch, OVERSTORY_HOME=str(tmp_path / "home"))
    assert parts.database(context).level == Level.OK
    assert machine.home(context).level == Level.OK
    assert machine.blobs(context) is None
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_the_first_run_cannot_create_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for folder, level in (("nope", "failed"), ("file", "failed"), ("", "ok")):
        url = f"sqlite:///{tmp_path / folder / 'x.db'}"
        finding = parts.database(examined(monkeypatch, OVERSTORY_DATABASE_URL=url))
        assert (finding.level, str(tmp_path) in finding.says) == (level, True)


LONG = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("secret", "level"),
    [
        (LONG, Level.OK),
        (f"{LONG} {LONG}", Level.OK),
        ("abc", Level.WARNING),
        (f"{LONG} whsec_abcd", Level.WARNING),
        (LONG.removeprefix("whsec_"), Level.WARNING),
        ("whsec_", Level.FAILED),
        ("abcde", Level.FAILED),
        (" ", Level.FAILED),
    ],
)
def test_the_webhook_secret_must_be_able_to_sign(
    monkeypatch: pytest.MonkeyPatch, secret: str, level: Level
) -> None:
    finding = configuration.webhooks(examined(monkeypatch, OVERSTORY_WEBHOOK_SECRET=secret))
    assert finding is not None
    assert finding.level == level
    assert LONG not in f"{finding.says} {finding.do}"


# --- the machine


def test_a_state_folder_below_a_file_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    context = examined(monkeypatch, OVERSTORY_HOME=str(tmp_path / "file" / "home"))
    assert machine.home(context).level == Level.FAILED


def test_a_state_folder_without_access_fails(nobodys: Path) -> None:
    context = Context.examine({}, nobodys / "closed" / "home")
    for check in (machine.home, machine.sqlite, parts.database):
        finding = checks.run_check(Check("check", check), context)
        assert finding is not None
        assert "Permission denied" in finding.says
        assert "bug" not in (finding.do or "")


@pytest.mark.parametrize(
    ("free", "level"),
    [(2 * 2**30, Level.OK), (2**29, Level.WARNING), (2**20, Level.FAILED)],
)
def test_a_full_disk_fails_before_a_run_does(
    monkeypatch: pytest.MonkeyPatch, free: int, level: Level
) -> None:
    context = examined(monkeypatch)
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    assert machine.home(context).level == level


@pytest.mark.parametrize(
    ("version", "level"),
    [("3.31.1", Level.FAILED), ("3.46.0", Level.WARNING), ("3.50.7", Level.OK)],
)
def test_the_sqlite_check_follows_its_version(
    monkeypatch: pytest.MonkeyPatch, version: str, level: Level
) -> None:
    module = type("Module", (), {"sqlite_version": version, "__name__": "sqlite3.dbapi2"})
    monkeypatch.setattr(machine, "sqlite_module", lambda: module)
    finding = machine.sqlite(examined(monkeypatch))
    assert finding is not None
    assert finding.level == level


def test_sqlite_does_not_matter_to_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    context = examined(monkeypatch, OVERSTORY_DATABASE_URL="postgresql://u@host/db")
    assert machine.sqlite(context) is None


def test_fewer_cores_than_the_machine_names_the_setting_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr(machine, "allowed_cores", lambda: 2.0)
    finding = machine.resources(examined(monkeypatch))
    assert (finding.level, finding.do) == (Level.WARNING, "set OVERSTORY_CPU_WORKERS=2")


def test_a_missing_library_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LIBRARIES", ("celery", "no-such-library"))
    finding = machine.python(examined(monkeypatch))
    assert finding.level == Level.FAILED
    assert "no-such-library" in finding.says
    assert f"Python {sys.version_info[0]}" in finding.says


# --- how it is shown


def test_a_pipe_gets_words_instead_of_symbols() -> None:
    lines = command.plain("key", warning("odd", "mend it", "detail"))
    assert [" ".join(line.split()) for line in lines] == ["warning key odd", "detail", "> mend it"]


def test_the_last_line_has_the_counts() -> None:
    findings = [ok("a"), ok("b"), warning("c", "d"), failed("e", "f")]
    assert command.summary(findings) == "2 ok, 1 warning, 1 failed"
