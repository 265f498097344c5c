"""Facts of models: which entry counts at an endpoint, what follows from it, and a person's file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.catalog.facts import FILE, facts_of, shipped
from core.catalog.formulas import STEPFUN_SIZES, SentSizes
from core.catalog.own_facts import checked, read_models
from core.catalog.tokens import LOW_TOKENS
from core.errors import RequestForm, WrongUsage
from core.job_options import JobOptions
from core.requests.forms import formed
from core.requests.request import images_body, request_context
from core.requests.sight import Measured
from core.settings import load
from core.tree.capacity import NOTHING_LEARNED, LearnedLimits, capacity_of
from tasks import infer

OPENAI = "https://api.openai.com/v1"
CLAUDE = "https://api.anthropic.com/v1"
OWN = """
[[model]]
names = ["my-vlm*"]
owner = "Us"
context = 32_000
images = 8
details = ["low"]
tokens = {kind = "round", patch = 28, min_pixels = 3136, max_pixels = 1_000_000}
"""


def test_our_own_file_has_the_form_of_a_persons_file():
    """Also: every formula gives a number for any size, and each example holds."""
    with resources.as_file(resources.files("core.catalog").joinpath(FILE)) as path:
        text = path.read_text("utf-8")
    without_prices = [
        {k: v for k, v in table.items() if k != "prices"} for table in tomllib.loads(text)["model"]
    ]
    assert len(without_prices) == len(shipped()) >= 40
    for number, table in enumerate(without_prices, 1):
        checked(Path(FILE), number, table)


@pytest.mark.parametrize(
    ("model", "url", "entry"),
    [
        ("gpt-4o-2024-11-20", OPENAI, "gpt-4o*"),
        ("gpt-4o-mini", OPENAI, "gpt-4o-mini*"),
        ("GPT-4o", OPENAI, "gpt-4o*"),
        ("openai/gpt-5.6-sol", "https://openrouter.ai/api/v1", "gpt-5.6*"),
        ("claude-haiku-5-5", CLAUDE, "claude-*-4?7*"),
        ("claude-sonnet-4-5-20250929", CLAUDE, "claude-*-4?5*"),
        ("claude-sonnet-4-6", CLAUDE, "claude-*-4?6*"),
        ("Qwen/Qwen3-VL-8B-Instruct", "http://127.0.0.1:8000/v1", "*qwen3-vl*"),
        ("qwen3-vl-plus", "https://dashscope-intl.aliyuncs.com/v1", "qwen3-vl*"),
        ("qwen2.5vl:7b", "http://localhost:11434/v1", "*qwen2.5-vl*"),
        ("llama3.2-vision:11b", "http://localhost:11434/v1", "*llama-3.2*vision*"),
        ("stepfun/step-3.7-flash", "https://openrouter.ai/api/v1", "step-3.7-flash"),
        ("gpt-3.5-turbo", OPENAI, None),
        ("", OPENAI, None),
    ],
)
def test_the_entry_of_a_model_at_an_endpoint(model, url, entry):
    found = facts_of(model, url).entry
    assert (found and found.names[0]) == entry


def test_limits_hold_at_the_owners_host_alone_and_tokens_everywhere():
    near, far = facts_of("gpt-5.6", OPENAI), facts_of("gpt-5.6", "https://llm.example.com/v1")
    assert (near.images, near.request_bytes, near.reply_tokens) == (1_500, 512_000_000, 128_000)
    assert (far.images, far.request_bytes, far.reply_tokens) == (60, None, None)
    assert near.context_tokens > far.context_tokens == 128_000
    assert near.sizes == far.sizes
    assert near.forms("low", None)
    assert not far.forms("low", None)


@pytest.mark.parametrize(
    ("model", "url", "effort", "forms"),
    [
        ("gpt-4o", OPENAI, None, set()),
        ("gpt-4o", OPENAI, "low", set()),
        ("o3", OPENAI, None, {"completion_tokens", "no_temperature"}),
        ("gpt-5.4", OPENAI, None, {"completion_tokens"}),  # it does not reason unless asked to
        ("gpt-5.4", OPENAI, "low", {"completion_tokens", "no_temperature"}),
        ("gpt-5.6", OPENAI, None, {"completion_tokens", "no_temperature"}),
        ("claude-opus-4-5", CLAUDE, "high", {"no_detail", "no_reasoning"}),
        ("step-3.7-flash", "https://api.stepfun.ai/v1", "high", set()),
        ("nobody-knows", OPENAI, "high", set()),
    ],
)
def test_a_request_is_written_as_the_endpoint_is_known_to_take_it(model, url, effort, forms):
    assert {str(form) for form in facts_of(model, url).forms("high", effort)} == forms


def context(model: str, url: str, learned: LearnedLimits = NOTHING_LEARNED, **set_: object):
    settings = load(base_url=url, provider="openai", model=model, **set_)
    return request_context(
        settings, question="?", model=model, provider="openai", endpoint=url, detail="low",
        options=JobOptions(), learned=learned,
    )  # fmt: skip


def test_known_forms_join_those_that_were_learned_and_no_key_changes():
    learned = LearnedLimits(forms=frozenset({RequestForm.NO_SYSTEM}), reply_tokens=500)
    known = context("o3", OPENAI, learned)
    assert known.forms == {*learned.forms, "completion_tokens", "no_temperature"}
    body = images_body(known, ["sha256:1"], is_root=True)
    assert {"max_tokens", "temperature"} < set(body)  # the key hashes these
    sent = formed(body, known.forms, known.reply_tokens)
    assert sent["max_completion_tokens"] == 500
    assert {"max_tokens", "temperature"}.isdisjoint(sent)


def test_a_detail_that_the_endpoint_does_not_take_is_not_sent():
    ours = context("claude-opus-4-5", CLAUDE)
    sent = formed(images_body(ours, ["u"], is_root=True), ours.forms)
    (image,) = (part for part in sent["messages"][1]["content"] if part["type"] == "image_url")
    assert image["image_url"] == {"url": "u"}


@pytest.mark.parametrize(
    ("model", "url", "provider", "structured"),
    [
        ("step-3.7-flash", "https://api.stepfun.ai/v1", "stepfun", "json_schema"),
        ("step-1o-turbo-vision", "https://api.stepfun.ai/v1", "stepfun", "json_object"),
        ("step-1o-turbo-vision", "http://localhost/v1", "openai", "json_object"),
        ("gpt-4o", OPENAI, "openai", "json_schema"),
        ("claude-opus-5", CLAUDE, "openai", "text"),
        ("claude-opus-5", "https://llm.example.com/v1", "openai", "json_schema"),
        ("nobody-knows", "http://localhost/v1", "openai", "json_schema"),
        ("nobody-knows", "https://api.stepfun.ai/v1", "stepfun", "json_object"),
    ],
)
def test_how_json_is_asked_for(model, url, provider, structured):
    assert facts_of(model, url).structured(provider) == structured


@pytest.mark.parametrize(
    ("model", "url", "images", "size"),
    [
        ("gpt-4o", OPENAI, 60, 64_000_000),  # more than 60 only if somebody asks for it
        ("claude-opus-5", CLAUDE, 60, 28_800_000),  # nine tenths of 32 MB, the rest is text
        ("llama3.2-vision", "http://localhost/v1", 1, 20_000_000),
        ("nobody-knows", "http://localhost/v1", 60, 20_000_000),
    ],
)
def test_a_request_holds_what_its_endpoint_takes(model, url, images, size):
    leaf = capacity_of(facts_of(model, url), "openai", "?").leaf
    assert (leaf.items, leaf.bytes) == (images, size)


def test_a_pack_may_be_as_large_as_the_endpoint_takes():
    assert capacity_of(facts_of("gpt-4o", OPENAI), "openai", "?", pack=200).leaf.items == 200


def test_the_sizes_go_to_the_decoding_process_and_back():
    for facts in (facts_of("gpt-5.6", OPENAI), facts_of("claude-opus-5", CLAUDE)):
        assert SentSizes.from_json(asdict(facts.sizes)) == facts.sizes
    assert SentSizes.from_json(asdict(STEPFUN_SIZES)) == STEPFUN_SIZES


# --- by which rule a node's usage is judged


@pytest.mark.parametrize(
    ("model", "url", "detail", "share", "fewest"),
    [
        ("step-3.7-flash", "https://api.stepfun.ai/v1", "low", "low", LOW_TOKENS),
        ("step-3.7-flash", "http://localhost/v1", "high", "high", LOW_TOKENS),
        ("claude-opus-5", "https://api.anthropic.com/v1", "low", "high", 4),
        ("gpt-4o", "https://api.openai.com/v1", "low", "high", 85),
    ],
)
def test_a_proven_formula_judges_at_its_owners_endpoint(model, url, detail, share, fewest):
    rule = infer.usage_rule(NO_DATABASE, node(detail), facts_of(model, url))
    assert (rule.detail, rule.fewest) == (share, fewest)


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("claude-opus-5", "https://openrouter.ai/api/v1"),  # its limits may be others there
        ("gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("nobody-knows", "http://localhost/v1"),
    ],
)
def test_elsewhere_a_lower_bound_judges(model, url, monkeypatch):
    monkeypatch.setattr(infer.pipeline, "reported_usage", lambda connection, node_id: [(2, 500)])
    rule = infer.usage_rule(NO_DATABASE, node("low"), facts_of(model, url))
    assert (rule.detail, rule.others) == (None, [Measured(2, 500)])


NO_DATABASE: Any = None


def node(detail: str) -> Any:
    return SimpleNamespace(id=1, detail=detail)


# --- a person's own file


def test_the_file_that_the_page_shows_is_right(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    file = tmp_path / "models.toml"
    file.write_text(page.partition("```toml\n")[2].partition("```")[0])
    (entry,) = read_models(file).entries
    assert entry.examples


def test_a_persons_entries_come_first(tmp_path, monkeypatch):
    file = tmp_path / "models.toml"
    file.write_text(OWN + OWN.replace("my-vlm", "gpt-4o").replace("images = 8", "images = 9"))
    monkeypatch.setenv("OVERSTORY_MODELS", str(file))
    settings = load(base_url=OPENAI)
    assert settings.facts_of("my-vlm-7b").images == 8
    assert settings.facts_of("gpt-4o").images == 9
    assert settings.facts_of("gpt-5").entry in shipped()
    assert context("my-vlm", "http://gpu:8000/v1").capacity.leaf.items == 8
    assert "no_detail" in settings.facts_of("my-vlm").forms("high", None)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("patch = 28, ", "", r"entry 1 \(my-vlm\*\): tokens: round.patch: Field required"),
        ("patch = 28", "patch = 0", "tokens: the formula gives no number for an image of 1 x 1"),
        ("patch = 28", "patch = -28", "tokens.patch: -28 is below 0"),
        ('"round"', '"triangles"', "tokens: .*'triangles'"),
        ("images = 8", "images = 0", "images: .*greater than 0"),
        ("images = 8", "picture = 8", "picture: Unexpected"),
        ('owner = "Us"', "", "owner: Field required"),
        ('names = ["my-vlm*"]', "names = []", r"entry 1 \(without names\): names"),
        ("[[model]]", "[model]", r"has no table \[\[model\]\]"),
        ("[[model]]", "[[model", "is not TOML"),
        ('owner = "Us"', 'owner = "Us"\nprices = []\njson = "xml"', "json: "),
        (
            'owner = "Us"',
            'owner = "Us"\nexamples = [{width = 280, height = 28, detail = "low", tokens = 9}]',
            "280 x 28 at low takes 10 tokens by the formula, not 9",
        ),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_entry_and_field(tmp_path, before, after, says):
    file = tmp_path / "models.toml"
    file.write_text(OWN.replace(before, after, 1))
    with pytest.raises(WrongUsage, match=says) as refused:
        read_models(file)
    assert "\n" not in str(refused.value).strip()
    with pytest.raises(WrongUsage, match="OVERSTORY_MODELS: "):
        load(models=str(file))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WrongUsage, match=r"OVERSTORY_MODELS: .*nothing.toml cannot be read"):
        load(models=str(tmp_path / "nothing.toml"))
