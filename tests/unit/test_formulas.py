"""Formulas of image tokens: each example of models.toml, and sizes that no model shrinks."""

from __future__ import annotations

import random

import pytest

from core.account.token_fit import PaidPrompt, token_fit
from core.catalog.facts import facts_of, shipped
from core.catalog.formulas import LONGEST_LOW
from core.catalog.image_tokens import image_tokens_of
from core.requests.prompt_parts import PromptParts

EXAMPLES = [
    pytest.param(entry, example, id=f"{entry.names[0]}-{example.width}x{example.height}")
    for entry in shipped()
    for example in entry.examples
]
ENTRIES = [pytest.param(entry, id=entry.names[0]) for entry in shipped()]
MODELS = {
    "gpt-4o": "api.openai.com",
    "gpt-5.6": "api.openai.com",
    "gpt-5.4": "api.openai.com",
    "claude-opus-4-5": "api.anthropic.com",
    "claude-opus-5": "api.anthropic.com",
    "gemini-2.5-flash": "generativelanguage.googleapis.com",
    "Qwen/Qwen2.5-VL-7B-Instruct": "gpu.internal",
    "zai-org/GLM-5.3-Flash": "gpu.internal",
    "mistralai/Mistral-Small-3.2": "gpu.internal",
    "OpenGVLab/InternVL3-8B": "gpu.internal",
    "meta-llama/Llama-4-Scout": "gpu.internal",
}
DETAILS = ("low", "high")


@pytest.mark.parametrize(("entry", "example"), EXAMPLES)
def test_an_image_takes_the_tokens_that_the_source_says(entry, example):
    assert entry.formula.tokens(example.width, example.height, example.detail) == example.tokens


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_says_where_it_is_from(entry):
    assert entry.sources
    assert all(source.url and source.date >= "2024" and source.sure for source in entry.sources)


@pytest.mark.parametrize("model", MODELS)
def test_an_image_is_sent_as_large_as_the_model_sees_it(model):
    """What the model would shrink is shrunk here, and costs the same; nothing is enlarged."""
    facts = facts_of(model, f"https://{MODELS[model]}/v1")
    tokens = image_tokens_of(facts)
    draw = random.Random(23)
    for _ in range(200):
        width = draw.randrange(40, 6_000)
        height = round(width / draw.uniform(1, 3))
        for size in ((width, height), (height, width)):
            for detail in DETAILS:
                sent = facts.sizes.of(*size, detail)
                assert all(after <= before for after, before in zip(sent, size, strict=True))
                assert facts.sizes.of(*sent, detail) == sent
                assert detail != "low" or max(sent) <= LONGEST_LOW
                assert 0 < tokens.of(*sent, detail) <= tokens.most(detail)


@pytest.mark.parametrize(
    ("model", "host", "detail", "side"),
    [
        ("gpt-4o", "api.openai.com", "low", 512),
        ("gpt-4o", "api.openai.com", "high", 768),
        ("gpt-5.6", "api.openai.com", "high", 1600),
        ("claude-opus-4-5", "api.anthropic.com", "high", 1092),
        ("claude-opus-5", "api.anthropic.com", "high", 1932),
        ("gemini-3-flash", "generativelanguage.googleapis.com", "high", 1584),
        ("qwen3-vl-plus", "dashscope.aliyuncs.com", "high", 1600),
        ("qwen3-vl-8b", "gpu.internal", "high", 4096),
        ("internvl3", "gpu.internal", "high", 1344),
        ("gemma-3-27b", "gpu.internal", "high", 896),
        ("gemma-3-27b", "gpu.internal", "low", 728),
        ("step-3.7-flash", "api.stepfun.ai", "low", 728),
        ("step-3.7-flash", "api.stepfun.ai", "high", 3024),
        ("nobody-knows", "gpu.internal", "high", 3024),
    ],
)
def test_the_largest_square_is_the_one_that_the_model_does_not_shrink(model, host, detail, side):
    facts = facts_of(model, f"https://{host}/v1")
    assert facts.sizes.of(9_000, 9_000, detail) == (side, side)


def test_a_side_is_no_longer_than_the_endpoint_takes_with_many_images():
    facts = facts_of("claude-opus-5", "https://api.anthropic.com/v1")
    assert max(facts.sizes.of(6_000, 2_000, "high")) == 2_000


def test_the_rule_is_the_models_own_else_the_measured_one_else_a_guess():
    measured = token_fit([PaidPrompt(PromptParts("low", (((9, 9), 3),), 900, 0), 600)])
    known, unknown = facts_of("claude-opus-5"), facts_of("nobody-knows")
    assert image_tokens_of(known, measured).source == "by Anthropic's formula, as of 2026-10"
    assert image_tokens_of(unknown, measured) is measured
    assert "a guess" in image_tokens_of(unknown).source
    assert image_tokens_of(unknown).most("low") == 171
