"""What the texts of errors mean: one case for each family of servers."""

from __future__ import annotations

import pytest

from clients.provider.errors import ErrorResponse, error_of, parse_429, status_in
from clients.provider.meanings import ERROR_TEXTS, Meaning, meaning_of, seems_lasting
from clients.provider.request_limits import limit_in
from core.errors import (
    AccountPaused,
    EndpointRefused,
    KeyRefused,
    LimitKind,
    ProviderDown,
    RequestRefused,
    SlowDown,
    TooMuch,
)

TEXTS = [
    (Meaning.UNPAID, "Budget has been exceeded! Current cost: 76.16, Max budget: 10.0"),
    (Meaning.UNPAID, "ExceededBudget: End User=u over budget. Spend=0.0008, Budget=0.0001"),
    (Meaning.UNPAID, "No deployments available - crossed budget: Exceeded budget for deployment"),
    (Meaning.UNPAID, "LiteLLM User: engineer-1, exceeded budget for model=m"),
    (Meaning.UNPAID, "Your credit balance is too low to access the Anthropic API."),
    (Meaning.UNPAID, "Insufficient Balance"),
    (Meaning.UNPAID, "Insufficient balance or no resource package. Please recharge."),
    (Meaning.UNPAID, "INSUFFICIENT_BALANCE Insufficient account balance"),
    (
        Meaning.UNPAID,
        "The selected model requires paid balance. Your paid balance is insufficient.",
    ),
    (Meaning.UNPAID, "Access denied, please make sure your account is in good standing."),
    (Meaning.UNPAID, "Access denied due to overdue account"),
    (Meaning.UNPAID, "Your account org-1 <ak-2> is suspended due to insufficient balance"),
    (Meaning.UNPAID, "Account x is suspended, possibly due to reaching the spending limit"),
    (Meaning.UNPAID, "余额不足或无可用资源包,请充值。"),
    (Meaning.UNPAID, "您的账户已欠费，请充值后重试。"),
    (Meaning.BLOCKED, "Your request was rejected as a result of our safety system."),
    (
        Meaning.BLOCKED,
        "Your input image may contain content that is not allowed by our safety system.",
    ),
    (Meaning.BLOCKED, "The response was filtered due to Azure OpenAI's content management policy."),
    (
        Meaning.BLOCKED,
        "<400> InternalError.Algo.DataInspectionFailed: Input image data may contain",
    ),
    (Meaning.BLOCKED, "Input data may contain inappropriate content."),
    (None, "InvalidParameter.DataInspection The media format is not supported or incorrect"),
    (Meaning.KEY, "API key not valid. Please pass a valid API key."),
    (Meaning.KEY, "API key expired. Please renew the API key."),
    (Meaning.KEY, "Incorrect API key provided: sk-1. You can find your API key at ..."),
    (Meaning.KEY, "invalid x-api-key"),
    (Meaning.KEY, "Authentication Error, Invalid proxy server token passed"),
    (Meaning.KEY, "Authentication Error, No api key passed in."),
    (Meaning.KEY, "No auth credentials found"),
    (Meaning.KEY, "Access denied due to invalid subscription key or wrong API endpoint."),
    (Meaning.NO_SUCH_MODEL, "The model `qwen` does not exist."),
    (Meaning.NO_SUCH_MODEL, "model 'llava' not found"),
    (Meaning.NO_SUCH_MODEL, 'model "llava" not found, try pulling it first'),
    (Meaning.NO_SUCH_MODEL, "/chat/completions: Invalid model name passed in model=gpt. Call"),
    (Meaning.NO_SUCH_MODEL, "gpt-9 is not a valid model ID"),
    (Meaning.NO_SUCH_MODEL, "Model Not Exist"),
    (Meaning.NO_SUCH_MODEL, "models/gemini-9 is not found for API version v1beta"),
    (Meaning.NO_IMAGES, "image input is not supported - hint: you may need to provide the mmproj"),
    (Meaning.NO_IMAGES, "No endpoints found that support image input"),
    (Meaning.NO_IMAGES, "Model does not support images. Please use a model that does."),
    (Meaning.NO_IMAGES, "This model does not support image input"),
    (Meaning.NO_IMAGES, "Qwen/Qwen3-8B is not a multimodal model"),
    (Meaning.NO_IMAGES, "Invalid content type. image_url is only supported by certain models."),
    (Meaning.NO_IMAGES, "unknown variant `image_url`, expected `text`"),
    (Meaning.NO_IMAGES, "this model is missing data required for image input"),
    (None, "internal error"),
    (None, "the image cannot be downloaded"),
    (None, "The image data you provided does not represent a valid image"),
    (None, "You exceeded your current quota"),  # Gemini says so of a limit by the minute, too
]
RAISED = {
    Meaning.UNPAID: AccountPaused,
    Meaning.KEY: KeyRefused,
    Meaning.NO_SUCH_MODEL: EndpointRefused,
    Meaning.NO_IMAGES: EndpointRefused,
    Meaning.BLOCKED: RequestRefused,
}


@pytest.mark.parametrize(("meaning", "text"), TEXTS)
def test_a_text_has_its_meaning(meaning: Meaning | None, text: str) -> None:
    assert meaning_of("", text) == meaning


def test_each_row_of_the_table_has_a_source() -> None:
    assert all(len(row.source) > 5 for row in ERROR_TEXTS)


def error(status: int, message: str, kind: str = "") -> ErrorResponse:
    return ErrorResponse("POST", "/chat/completions", status, kind, message, True, None)


@pytest.mark.parametrize("status", [200, 400, 404, 422, 500])
@pytest.mark.parametrize("meaning", list(Meaning))
def test_a_known_text_means_the_same_with_any_status(status: int, meaning: Meaning) -> None:
    text = next(text for known, text in TEXTS if known == meaning)
    raised = error_of(error(status, text), "", "m")
    assert type(raised) is RAISED[meaning]
    assert getattr(raised, "of_content", False) is (meaning is Meaning.BLOCKED)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, "Your paid balance is insufficient. Please top up and try again."),
        (412, "Account x is suspended, possibly due to failure to pay past invoices"),
        (429, "余额不足或无可用资源包,请充值。"),
    ],
)
def test_an_account_without_money_is_paused_and_not_refused(status: int, text: str) -> None:
    """With these statuses it looked like a wrong key, a refused image or a limit by the minute."""
    assert isinstance(error_of(error(status, text), "", "m"), AccountPaused)


def test_a_budget_at_a_proxy_is_no_limit_by_the_minute() -> None:
    raised = error_of(error(429, "Too much", "budget_exceeded"), "", "m")
    assert isinstance(raised, AccountPaused)


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("vision model only supports a single image per message", 1),
        ("This model only supports one image per message", 1),
        ("Only one image is allowed in a request", 1),
        ("multiple images are not supported", 1),
        ("Too many images provided. This model supports up to 5 images", 5),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_one_image_a_request_is_a_limit(status: int, text: str, most: int) -> None:
    assert limit_in(status, "", text) == ("images", most)
    assert isinstance(error_of(error(status, text), "", "m"), TooMuch)


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("tokens", LimitKind.TPM),
        ("requests", LimitKind.RPM),
        ("max_parallel_requests", LimitKind.CONCURRENCY),
    ],
)
def test_the_limit_that_a_429_names_is_the_one_that_is_cut(named: str, kind: LimitKind) -> None:
    text = f"Rate limit exceeded for api_key: x. Limit type: {named}. Current limit: 1000"
    assert parse_429(f"{text}, Remaining: 0. max_parallel_requests: 4")[::2] == (kind, 1000)


def test_a_limit_on_calls_at_once_holds_nobody_for_a_minute() -> None:
    text = "Limit type: max_parallel_requests. Current limit: 3"
    waits = ErrorResponse("POST", "/chat/completions", 429, "", text, True, 60.0)
    raised = error_of(waits, "", "m")
    assert isinstance(raised, SlowDown)
    assert raised.retry_after is None


@pytest.mark.parametrize("status", [408, 504])
def test_a_timeout_is_called_one(status: int) -> None:
    raised = error_of(error(status, "litellm.Timeout"), "", "m")
    assert isinstance(raised, ProviderDown)
    assert "timeout" in str(raised)


@pytest.mark.parametrize(
    ("message", "lasting"),
    [
        ("the template has no slot for pictures", True),
        ("Failed to apply chat template", True),
        ("internal server error", False),
        ("The server had an error while processing your request. Try again.", False),
        ("CUDA out of memory", False),
        ("upstream connect error", False),
        ("", False),
    ],
)
def test_an_error_that_says_something_of_its_own_may_last(message: str, lasting: bool) -> None:
    assert seems_lasting(message) is lasting
    raised = error_of(error(500, message), "", "m")
    assert isinstance(raised, ProviderDown)
    assert raised.lasting is lasting


@pytest.mark.parametrize(
    ("inside", "status"),
    [
        ({"code": 401}, 401),
        ({"code": "404"}, 404),
        ({"code": None, "type": "invalid_request_error"}, 400),
        ({"code": "invalid_api_key"}, 401),
        ({"status": 503}, 503),
        ({"message": "no"}, None),
        ({"code": 200}, None),
        ("words", None),
    ],
)
def test_an_error_inside_a_200_stands_for_a_status(inside: object, status: int | None) -> None:
    assert status_in(inside) == status
