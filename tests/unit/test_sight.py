"""Usage that cannot hold the images of a request is doubted, and honest usage never is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalog.tokens import LOW_TOKENS, Detail, image_tokens
from core.requests.review import NotSeen
from core.requests.sight import (
    BYTES_PER_TOKEN,
    BYTES_PER_TOKEN_ALONE,
    BYTES_PER_TOKEN_MAX,
    CONTEXTS,
    FEWEST_TOKENS,
    FORMULA_SHARE_ALONE,
    PATCH,
    SLACK_TOKENS,
    Measured,
    Prompt,
    ShownImage,
    unheld,
)

TEXT_BYTES = 1_500
TEXT_TOKENS = TEXT_BYTES // BYTES_PER_TOKEN
TEXT_LEAST = TEXT_BYTES // BYTES_PER_TOKEN_MAX
LOW = ShownImage(LOW_TOKENS, 728, 728)
UNKNOWN = (85, 171, 258, 1105, 2833)
"""Tokens an image with other models: OpenAI at low detail, StepFun, Gemini, two sizes of Qwen."""


def shown(width: int, height: int, detail: Detail) -> ShownImage:
    return ShownImage(image_tokens(width, height, detail), width, height)


def text_of(size: int) -> str:
    """Text of so many bytes, in which no character is repeated."""
    return ("word " * (size // 5 + 1))[:size]


def known(images: Sequence[ShownImage], detail: Detail = "low", size: int = TEXT_BYTES) -> Prompt:
    return Prompt(text_of(size), images, detail)


def unknown(images: int, others: Sequence[tuple[int, int]] = ()) -> Prompt:
    shown, measured = [LOW] * images, [Measured(*other) for other in others]
    return Prompt(text_of(TEXT_BYTES), shown, None, measured)


def room_of(result: NotSeen | None) -> int:
    assert result is not None
    assert result.room is not None
    return result.room


# --- models whose tokens are known


SIZES = st.tuples(st.integers(32, 3024), st.integers(32, 3024))


@given(
    st.lists(SIZES, min_size=1, max_size=60),
    st.sampled_from(["low", "high"]),
    st.integers(0, 50_000),
    st.floats(3, 6),
)
def test_honest_usage_is_never_doubted(
    sizes: list[tuple[int, int]], detail: Detail, text_bytes: int, bytes_per_token: float
) -> None:
    images = [shown(*size, detail) for size in sizes]
    honest = round(text_bytes / bytes_per_token) + sum(image.tokens for image in images)
    assert unheld(known(images, detail, text_bytes), honest) is None


@given(st.integers(1, 60), st.integers(0, 50_000), st.floats(3, 6))
def test_the_169_tokens_that_the_documents_name_are_honest(
    images: int, text_bytes: int, bytes_per_token: float
) -> None:
    prompt = known([LOW] * images, size=text_bytes)
    assert unheld(prompt, round(text_bytes / bytes_per_token) + 169 * images) is None


def test_a_formula_that_is_a_fifth_too_high_for_high_detail_is_not_held_against_a_reply() -> None:
    images = [shown(3000, 2000, "high")] * 10
    formula = sum(image.tokens for image in images)
    assert unheld(known(images, "high"), TEXT_TOKENS + round(0.8 * formula)) is None
    assert unheld(known(images, "high"), TEXT_TOKENS + round(0.7 * formula)) is not None


@pytest.mark.parametrize(("images", "first"), [(60, 20), (60, 1), (60, 45), (10, 4), (3, 1)])
def test_a_server_that_shows_the_first_images_alone_is_sent_about_so_many(
    images: int, first: int
) -> None:
    result = unheld(known([LOW] * images), TEXT_TOKENS + first * LOW_TOKENS)
    assert room_of(result) == pytest.approx(first, abs=1)
    assert result is not None
    assert f"for {images} images" in result.reason


@pytest.mark.parametrize("first", range(60))
def test_room_is_at_least_one_image_and_less_than_was_shown(first: int) -> None:
    result = unheld(known([LOW] * 60), TEXT_TOKENS + first * LOW_TOKENS)
    if result is not None:
        assert 1 <= room_of(result) < 60
    assert (result is not None) is (first < 54)  # nine tenths, with what text may take less


def test_after_a_few_replies_a_server_is_sent_what_it_shows() -> None:
    """Each doubt lowers the number, and it never falls far below what the server shows."""
    for first in (1, 2, 5, 20, 50):
        images = 60
        while (result := _blind_after(first, images)) is not None:
            assert room_of(result) < images
            images = room_of(result)
        assert first * 0.9 - 1 <= images <= first * 1.2 + 1


def _blind_after(first: int, images: int) -> NotSeen | None:
    reported = TEXT_TOKENS + min(first, images) * LOW_TOKENS
    return unheld(known([LOW] * images), reported)


@pytest.mark.parametrize("context", [2_048, 4_096, 8_192])
def test_a_prompt_that_is_cut_at_a_context_leaves_room_for_the_reply(context: int) -> None:
    result = unheld(known([LOW] * 60), context)
    room = room_of(result)
    assert TEXT_TOKENS + room * (LOW_TOKENS + 64) < context
    assert TEXT_TOKENS + (room + 2) * (LOW_TOKENS + 64) > context - 256
    assert result is not None
    assert f"keeps {context:,} tokens of a prompt" in result.reason
    assert "raise its context" in result.reason


def test_a_context_that_holds_the_request_is_not_doubted() -> None:
    assert unheld(known([LOW] * 10), 4_096) is None


def test_a_reason_names_one_image_in_the_singular() -> None:
    result = unheld(known([LOW] * 2, size=400), 100 + LOW_TOKENS)
    assert result is not None
    assert result.room == 1
    assert "about 1 image:" in result.reason


def test_what_a_long_text_may_take_less_hides_a_few_images() -> None:
    """Text has a token for 3 to 6 bytes, so that usage alone cannot tell an image from it."""
    prompt = known([LOW] * 60, size=20_000)
    assert unheld(prompt, 5_000 + 45 * LOW_TOKENS) is None
    assert unheld(prompt, 5_000 + 35 * LOW_TOKENS) is not None


# --- counts that say nothing


@pytest.mark.parametrize("prompt", [known([LOW] * 60), unknown(60), known([LOW]), unknown(1)])
@pytest.mark.parametrize("reported", [0, 1, TEXT_LEAST - 1])
def test_a_count_that_does_not_hold_the_text_is_not_judged(prompt: Prompt, reported: int) -> None:
    assert unheld(prompt, reported) is None


@pytest.mark.parametrize("prompt", [known([LOW] * 60), unknown(60), known([LOW]), unknown(1)])
def test_a_count_that_just_holds_the_text_is_judged(prompt: Prompt) -> None:
    assert unheld(prompt, TEXT_LEAST) is not None


def test_a_character_that_is_repeated_counts_once() -> None:
    """A tokenizer has one token for many of them, so that a ruled line must not raise doubts."""
    ruled = Prompt("ab" + "=" * 30_000 + "\n" * 30_000 + "é" * 30_000, [LOW] * 2, "low")
    assert ruled.text_bytes == len("ab=\né".encode())
    assert unheld(ruled, 2 * LOW_TOKENS + 10) is None


def test_the_bytes_of_any_text_are_counted() -> None:
    assert Prompt("红色 é", [], None).text_bytes == 9
    assert Prompt("a\ud800b", [], None).text_bytes == 3  # a reply may have half of a pair


@pytest.mark.parametrize("reported", [0, 100, 4_096, 100_000])
def test_a_request_without_images_is_not_judged(reported: int) -> None:
    assert unheld(known([]), reported) is None
    assert unheld(unknown(0), reported) is None


# --- other models


@pytest.mark.parametrize("tokens", UNKNOWN)
@pytest.mark.parametrize("images", [2, 10, 60])
@pytest.mark.parametrize("bytes_per_token", [3, 4, BYTES_PER_TOKEN_MAX])
def test_no_honest_usage_of_another_model_is_doubted(
    tokens: int, images: int, bytes_per_token: int
) -> None:
    text = TEXT_BYTES // bytes_per_token
    others = [(n, text + n * tokens) for n in (1, 5, 30, 60)]
    reported = text + images * tokens
    assert reported not in CONTEXTS
    assert unheld(unknown(images), reported) is None
    assert unheld(unknown(images, others), reported) is None


@pytest.mark.parametrize("difference", [-SLACK_TOKENS // 2, SLACK_TOKENS // 2])
@pytest.mark.parametrize("tokens", UNKNOWN)
def test_the_texts_of_a_jobs_requests_may_differ_a_little(tokens: int, difference: int) -> None:
    others = [(n, TEXT_TOKENS + difference + n * tokens) for n in (9, 10, 11)]
    assert unheld(unknown(10, others), TEXT_TOKENS + 10 * tokens) is None


@pytest.mark.parametrize("images", [2, 10, 60])
def test_a_server_that_drops_all_images_is_below_the_floor(images: int) -> None:
    result = unheld(unknown(images), TEXT_TOKENS)
    if images * FEWEST_TOKENS <= TEXT_TOKENS - TEXT_LEAST:  # the text may take as much
        assert result is None
    else:
        assert room_of(result) == images // 2


def test_the_floor_is_what_any_model_takes_for_the_images_and_the_text() -> None:
    floor = TEXT_LEAST + 60 * FEWEST_TOKENS
    assert floor not in CONTEXTS
    assert unheld(unknown(60), floor) is None
    assert room_of(unheld(unknown(60), floor - 1)) == 30
    assert FEWEST_TOKENS == 32  # half of SmolVLM's 64: what is smaller is not known to us


@pytest.mark.parametrize("tokens", UNKNOWN)
def test_as_many_tokens_as_for_more_images_are_doubted(tokens: int) -> None:
    """A server that shows the first ten counts the same for 20 and for 60."""
    plateau = TEXT_TOKENS + 10 * tokens
    assert room_of(unheld(unknown(20, [(60, plateau)]), plateau)) == 10
    assert room_of(unheld(unknown(20, [(60, plateau + 40)]), plateau)) == 10
    assert room_of(unheld(unknown(20, [(60, plateau - 40)]), plateau)) == 10
    assert room_of(unheld(unknown(20, [(21, 1), (60, plateau), (61, 10**6)]), plateau)) == 10


@pytest.mark.parametrize("others", [[(20, 10**6)], [(1, 10**6)], [(20, 1)], [(59, 10**6), (60, 1)]])
@pytest.mark.parametrize("tokens", UNKNOWN)
def test_replies_about_no_more_images_are_not_compared(
    tokens: int, others: list[tuple[int, int]]
) -> None:
    """Their images may be larger, so that fewer of them take as much."""
    assert unheld(unknown(60, others), TEXT_TOKENS + 60 * tokens) is None


def test_more_images_must_take_what_the_fewest_tokens_are_but_for_a_difference_of_texts() -> None:
    reported = TEXT_TOKENS + 20 * 258
    more = reported + 40 * FEWEST_TOKENS - SLACK_TOKENS
    assert unheld(unknown(20, [(60, more)]), reported) is None
    assert unheld(unknown(20, [(60, more - 1)]), reported) is not None


@pytest.mark.parametrize("tokens", UNKNOWN)
def test_what_grows_with_the_images_is_no_plateau(tokens: int) -> None:
    others = [(20, TEXT_TOKENS + 20 * tokens)]
    assert unheld(unknown(60, others), TEXT_TOKENS + 60 * tokens) is None
    others = [(60, TEXT_TOKENS + 60 * tokens)]
    assert unheld(unknown(20, others), TEXT_TOKENS + 20 * tokens) is None


def test_the_same_count_for_the_same_number_of_images_is_no_plateau() -> None:
    reported = TEXT_TOKENS + 20 * 258
    assert unheld(unknown(20, [(20, reported)]), reported) is None


@pytest.mark.parametrize("context", sorted(CONTEXTS)[:8])
def test_a_count_that_is_a_context_is_doubted_where_the_tokens_are_not_known(context: int) -> None:
    result = unheld(unknown(10), context)
    assert room_of(result) == 5
    assert result is not None
    assert "raise its context" in result.reason
    assert unheld(unknown(10), context + 1) is None


def test_contexts_are_the_powers_of_two_that_servers_are_set_to() -> None:
    assert min(CONTEXTS) == 2_048
    assert max(CONTEXTS) == 1_048_576
    assert all(context & (context - 1) == 0 for context in CONTEXTS)


# --- an image alone


@pytest.mark.parametrize("detail", ["low", "high"])
@pytest.mark.parametrize("size", [(728, 728), (3000, 2000)])
def test_an_image_alone_takes_a_share_of_its_formula(size: tuple[int, int], detail: Detail) -> None:
    """Half of it at high detail: its tokens are hard to tell from those of the text."""
    assert FORMULA_SHARE_ALONE == {"low": 0.75, "high": 0.5}
    image = shown(*size, detail)
    least = TEXT_LEAST + math.ceil(FORMULA_SHARE_ALONE[detail] * image.tokens)
    assert unheld(known([image], detail), least) is None
    assert_alone(unheld(known([image], detail), least - 1))


def test_an_image_alone_takes_a_few_tokens_with_another_model() -> None:
    least = TEXT_BYTES // BYTES_PER_TOKEN_ALONE + 2 * FEWEST_TOKENS
    assert unheld(unknown(1), least) is None
    assert_alone(unheld(unknown(1), least - 1))
    small = Prompt(text_of(TEXT_BYTES), [ShownImage(LOW_TOKENS, PATCH, PATCH)], None)
    assert unheld(small, TEXT_BYTES // BYTES_PER_TOKEN_ALONE + 1) is None


def assert_alone(result: NotSeen | None) -> None:
    assert result is not None
    assert result.room is None  # it cannot be shown in less company
    assert not result.by_canary
    assert "too few for the image" in result.reason


@pytest.mark.parametrize("tokens", UNKNOWN)
@pytest.mark.parametrize("bytes_per_token", [3, 4, BYTES_PER_TOKEN_ALONE])
def test_no_honest_usage_of_an_image_alone_is_doubted(tokens: int, bytes_per_token: int) -> None:
    assert unheld(unknown(1), TEXT_BYTES // bytes_per_token + tokens) is None


@pytest.mark.parametrize("tokens", [258, 1105, 2833])
def test_text_of_few_tokens_beside_an_image_alone_is_not_doubted(tokens: int) -> None:
    assert unheld(unknown(1), TEXT_LEAST + tokens) is None


@pytest.mark.parametrize("bytes_per_token", [4, 5, 6])
def test_a_server_that_drops_an_image_alone_is_found(bytes_per_token: int) -> None:
    """With a model of an unknown formula only where the text has few tokens."""
    text = TEXT_BYTES // bytes_per_token
    assert_alone(unheld(known([LOW]), text))
    if bytes_per_token >= BYTES_PER_TOKEN_ALONE:
        assert_alone(unheld(unknown(1), text))


@pytest.mark.parametrize("others", [[(2, TEXT_TOKENS + 85)], [(60, TEXT_TOKENS + 85)]])
def test_an_image_alone_is_not_compared_with_more(others: list[tuple[int, int]]) -> None:
    """It cannot be shown in less company."""
    assert unheld(unknown(1, others), TEXT_TOKENS + 85) is None


@pytest.mark.parametrize("context", [2_048, 4_096])
def test_an_image_alone_may_take_a_power_of_two(context: int) -> None:
    assert unheld(unknown(1), context) is None
    assert unheld(unknown(1, [(5, context)]), context) is None


@pytest.mark.parametrize(
    ("width", "height", "fewest"),
    [
        (728, 728, FEWEST_TOKENS),
        (PATCH * 4, PATCH * 4, 16),
        (PATCH * 4, PATCH * 2, 8),
        (PATCH, PATCH, 1),
        (16, 16, 1),
        (4000, 16, 1),
        (0, 0, 1),  # the provider fetches it: its size is not known
    ],
)
def test_a_small_picture_takes_few_tokens(width: int, height: int, fewest: int) -> None:
    image = ShownImage(LOW_TOKENS, width, height)
    assert image.fewest() == fewest
    assert image.fewest(2 * FEWEST_TOKENS) == (2 * fewest if fewest == FEWEST_TOKENS else fewest)
