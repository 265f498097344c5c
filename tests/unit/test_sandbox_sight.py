"""A model that does not see all it is sent, or does not write about all it sees."""

import asyncio
import io
import json
from functools import cache

import pytest
from PIL import Image
from pydantic import ValidationError

from clients.images.pillow import word_picture
from core import prompts
from core.prompts.shaped import each_instruction
from core.requests.canary import SIDE, WORDS
from core.text import citations
from overstory.sandbox.answers.compose import NOTHING, compose
from overstory.sandbox.answers.invented import invented
from overstory.sandbox.answers.observation import from_pictures
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.models import MODELS
from overstory.sandbox.protocol.prompt import budget, segments_of
from overstory.sandbox.protocol.reply import Reply, Usage
from overstory.sandbox.protocol.request import read_request
from overstory.sandbox.protocol.sight import sight_of
from overstory.sandbox.vision.canary import another_word, word_on
from overstory.sandbox.vision.decode import Decoder

CONFIG = SandboxConfig()
FLASH = MODELS["step-3.7-flash"]
COLOURS = ("red", "blue", "lime", "black", "white", "yellow")
IMAGE_TOKENS = 171  # of one image with detail low
LEAF, DIRECT = False, True
QUESTION = "What is there?"


def png(colour, side=40):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def decoded(*data):
    async def decode_all():
        return [await decoder.decode(one) for one in data]

    decoder = Decoder()
    try:
        return asyncio.run(decode_all())
    finally:
        decoder.close()


PICTURES = decoded(*map(png, COLOURS))


@cache
def canary(word):
    return decoded(word_picture(word, SIDE, SIDE))[0]


def request_of(pictures, instruction, **fields):
    urls = [f"stepfile://{picture.sha}" for picture in pictures]
    messages = prompts.show(urls, "low", instruction, ())
    return read_request({"model": FLASH.name, "messages": messages} | fields, FLASH, CONFIG)


def instructed(pictures, is_root, with_lines=True):
    return asked(len(pictures), QUESTION, is_root, is_root and with_lines)


def asked(images, question, is_root, with_lines):
    """The text below the images of a request."""
    messages = prompts.look(["u"] * images, "low", question, is_root, with_lines=with_lines)
    return messages[-1]["content"][-1]["text"]


def reply(pictures, instruction, config, **fields):
    request = request_of(pictures, instruction, **fields)
    seen = sight_of(request, pictures, config).images
    return compose(request, pictures, seen, 10_000, config)


def cited(text):
    return set(citations.cited_numbers(text))


def keeping(images, pictures, instruction):
    """The setting that cuts a prompt in the middle of the image after so many ``images``."""
    request = request_of(pictures, instruction)
    texts = sight_of(request, pictures, SandboxConfig(blind=True)).prompt_tokens
    return {"keeps_tokens": texts + images * IMAGE_TOKENS + IMAGE_TOKENS // 2}


def lines(is_root=LEAF, pictures=PICTURES, keeps_images=None, **settings):
    """Number and text of each line about one image, and the lines that are not about one."""
    instruction = instructed(pictures, is_root)
    if keeps_images is not None:
        settings |= keeping(keeps_images, pictures, instruction)
    text = reply(pictures, instruction, SandboxConfig(**settings))
    about, other = {}, []
    for line in text.splitlines():
        marker, _, rest = line.partition("] ")
        if marker.startswith("["):
            about[int(marker[1:])] = rest
        else:
            other.append(line)
    return about, other


def keyed(pictures=PICTURES, entry=None, **settings):
    """The object that a model writes which is asked about each image."""
    numbers = [str(number) for number in range(1, len(pictures) + 1)]
    canaries = [str(n) for n, picture in enumerate(pictures, 1) if picture.description.word]
    answer = {"type": "string"} if entry is None else entry
    properties = {n: {"type": "string"} if n in canaries else answer for n in numbers}
    properties["whole"] = {"type": "string"}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    wanted = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    instruction = each_instruction(
        len(pictures), QUESTION, records=False, objects=False, also="", schema=None
    )
    config = SandboxConfig(**settings)
    return json.loads(reply(pictures, instruction, config, response_format=wanted))


PLAIN = lines()[0]


# the prompts


def test_a_leaf_reply_has_a_line_for_each_image():
    assert list(PLAIN) == [1, 2, 3, 4, 5, 6]
    assert "mostly warm red" in PLAIN[1]


def test_a_direct_reply_has_lines_a_rule_and_the_answer():
    text = reply(PICTURES, instructed(PICTURES, DIRECT), CONFIG)
    above, below = text.split("\n===\n")
    assert above.splitlines() == [f"[{number}] {line}" for number, line in PLAIN.items()]
    assert below.startswith("Of 6 images: ")
    assert cited(below) == set(PLAIN)


def test_a_direct_prompt_without_the_form_is_answered_without_a_rule():
    text = reply(PICTURES, instructed(PICTURES, DIRECT, with_lines=False), CONFIG)
    assert "===" not in text
    assert text.splitlines()[1:] == [f"[{number}] {line}" for number, line in PLAIN.items()]


def test_a_rule_in_the_question_asks_for_no_form():
    instruction = asked(6, "Is 1 === 1?", DIRECT, with_lines=False)
    assert "===" not in reply(PICTURES, instruction, CONFIG)


def test_labels_count_as_text():
    request = request_of(PICTURES, "?")
    texts = [segment for segment in segments_of(request, PICTURES) if segment.is_text]
    assert b"Image 6:" in [segment.key for segment in texts]
    assert sight_of(request, PICTURES, CONFIG).prompt_tokens == 6 * IMAGE_TOKENS + sum(
        segment.tokens for segment in texts
    )


# canaries


def test_a_canary_is_described_by_its_word():
    assert canary("HAMMER").description.word == "HAMMER"
    shown = [*PICTURES[:2], canary("HAMMER")]
    assert lines(pictures=shown)[0] == {1: PLAIN[1], 2: PLAIN[2], 3: "HAMMER"}


@pytest.mark.parametrize(
    "data", [png("white", SIDE), png("red", SIDE), word_picture("HAMMER", 64, 64)]
)
def test_another_picture_shows_no_word(data):
    (picture,) = decoded(data)
    assert picture.description.word is None


def test_every_word_has_a_picture_of_its_own():
    assert word_on(canary("TIGER").sha, SIDE, SIDE) == "TIGER"
    assert all(another_word(word) != word for word in WORDS)


def test_canaries_are_not_in_answers_about_all_images():
    shown = [canary("HAMMER"), *PICTURES[:2], canary("TIGER")]
    text = reply(shown, instructed(shown, DIRECT), CONFIG)
    above, below = text.split("\n===\n")
    assert (above.splitlines()[0], above.splitlines()[-1]) == ("[1] HAMMER", "[4] TIGER")
    assert below.startswith("Of 2 images: ")
    assert cited(below) == {2, 3}


def test_the_key_of_a_canary_has_its_word_and_other_keys_leave_it_out():
    value = keyed([canary("HAMMER"), *PICTURES[:2]])
    assert value["1"] == "HAMMER"
    assert "red" in value["2"]
    assert cited(value["whole"]) == {2, 3}


def test_a_map_has_a_key_for_a_canary():
    shown = [PICTURES[0], canary("HAMMER")]
    wanted = {"type": "object", "additionalProperties": {"type": "string"}}
    wrapped = {"type": "json_schema", "json_schema": {"name": "reply", "schema": wanted}}
    value = json.loads(reply(shown, "[1] and [2]", CONFIG, response_format=wrapped))
    assert value == {"1": f"[1] {PLAIN[1]}", "2": "HAMMER"}


def test_a_request_for_a_canary_alone_is_answered_with_its_word():
    assert lines(pictures=[canary("HAMMER")]) == ({1: "HAMMER"}, [])


# what is seen


def sight(config, pictures=PICTURES):
    return sight_of(request_of(pictures, "?"), pictures, config)


TEXT_TOKENS = sight(CONFIG, PICTURES).prompt_tokens - 6 * IMAGE_TOKENS
TRUE_TOKENS = TEXT_TOKENS + 6 * IMAGE_TOKENS


@pytest.mark.parametrize(
    ("settings", "images", "tokens"),
    [
        ({}, 6, TRUE_TOKENS),
        ({"blind": True}, 0, TEXT_TOKENS),
        ({"blind": True, "sees_first": 2}, 0, TEXT_TOKENS),
        ({"sees_first": 0}, 0, TEXT_TOKENS),
        ({"sees_first": 2}, 2, TEXT_TOKENS + 2 * IMAGE_TOKENS),
        ({"sees_first": 9}, 6, TRUE_TOKENS),
        ({"keeps_tokens": TRUE_TOKENS}, 6, TRUE_TOKENS),
        ({"keeps_tokens": TRUE_TOKENS - 1}, 5, TRUE_TOKENS - 1),
        ({"keeps_tokens": TEXT_TOKENS + IMAGE_TOKENS}, 1, TEXT_TOKENS + IMAGE_TOKENS),
        ({"keeps_tokens": 3}, 0, 3),
        ({"keeps_tokens": 10**6}, 6, TRUE_TOKENS),
        ({"sees_first": 2, "keeps_tokens": TRUE_TOKENS - 1}, 2, TEXT_TOKENS + 2 * IMAGE_TOKENS),
        ({"sees_first": 5, "keeps_tokens": TEXT_TOKENS + 400}, 2, TEXT_TOKENS + 400),
        ({"sees_first": 2, "invents": True, "skips_every": 1}, 2, TEXT_TOKENS + 2 * IMAGE_TOKENS),
    ],
)
def test_only_the_seen_images_and_the_texts_are_counted(settings, images, tokens):
    seen = sight(SandboxConfig(**settings))
    assert (seen.images, seen.prompt_tokens) == (images, tokens)
    assert [segment.is_text for segment in seen.segments].count(False) == images


def test_an_image_behind_one_that_does_not_fit_is_not_seen():
    large = decoded(png("red", 1500))[0]
    shown = [PICTURES[0], large, PICTURES[1]]
    urls = [f"stepfile://{picture.sha}" for picture in shown]
    messages = prompts.show(urls, "high", "?", ())
    request = read_request({"model": FLASH.name, "messages": messages}, FLASH, CONFIG)
    all_tokens = sight_of(request, shown, CONFIG).prompt_tokens
    kept = sight_of(request, shown, SandboxConfig(keeps_tokens=all_tokens - IMAGE_TOKENS - 400))
    assert kept.images == 1


def test_a_server_that_cuts_prompts_refuses_none():
    request = request_of(PICTURES, "?", max_tokens=FLASH.context_tokens)
    assert budget(request, 100, cuts=True) == FLASH.context_tokens
    assert budget(request_of(PICTURES, "?"), 2 * FLASH.context_tokens, cuts=True) == 1


@pytest.mark.parametrize("settings", [{"sees_first": 2}, {"keeps_images": 2}])
@pytest.mark.parametrize("is_root", [LEAF, DIRECT])
def test_unseen_images_have_no_line_and_change_no_count(settings, is_root):
    about, other = lines(is_root, **settings)
    assert about == {number: PLAIN[number] for number in about}
    assert list(about) == [1, 2]
    assert any(line.startswith("Of 2 images: 1 mostly red, 1 mostly blue") for line in other)
    assert not {3, 4, 5, 6} & cited("\n".join(other))


@pytest.mark.parametrize("is_root", [LEAF, DIRECT])
def test_a_blind_model_says_that_it_was_given_nothing(is_root):
    assert lines(is_root, blind=True) == ({}, [NOTHING])


def test_unseen_images_have_no_key():
    value = keyed(sees_first=2)
    assert list(value) == ["1", "2", "whole"]
    assert cited(value["whole"]) == {1, 2}
    assert keyed(blind=True) == {"whole": NOTHING}


# invented lines


def test_a_model_that_invents_has_a_different_line_for_each_unseen_image():
    about, other = lines(sees_first=2, invents=True)
    assert list(about) == list(PLAIN)
    assert (about[1], about[2]) == (PLAIN[1], PLAIN[2])
    assert "photograph with" in about[4]
    assert len(set(about.values())) == 6
    assert other[0].startswith("Of 6 images: ")


def test_invented_lines_differ_in_a_large_request():
    (image,) = from_pictures("", [PICTURES[0].description])
    assert len({invented(position, image).line for position in range(1, 274)}) == 273
    assert invented(1, image).line.startswith("a landscape photograph with soft light")


def test_invented_lines_say_nothing_of_the_image():
    pink = decoded(png("pink"))
    assert lines(pictures=pink, blind=True, invents=True) == lines(
        pictures=PICTURES[:1], blind=True, invents=True
    )


def test_an_unseen_canary_gets_a_wrong_word():
    shown = [PICTURES[0], canary("HAMMER"), canary("TIGER")]
    about, other = lines(pictures=shown, sees_first=1, invents=True)
    assert about[2] in set(WORDS) - {"HAMMER"}
    assert about[3] in set(WORDS) - {"TIGER"}
    assert other[0].startswith("Of 1 images: ")
    assert keyed(shown, sees_first=1, invents=True)["2"] == about[2]


ENTRY = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "blue", "other"]},
        "people": {"type": "integer", "minimum": 0},
        "note": {"type": "string"},
    },
    "required": ["colour", "people", "note"],
}


@pytest.mark.parametrize(
    "settings",
    [
        {"blind": True, "invents": True},
        {"says_nothing_every": 1},
        {"copies_every": 1},
        {"keeps_tokens": 0, "invents": True, "copies_every": 2, "says_nothing_every": 3},
    ],
)
def test_odd_values_still_follow_the_schema(settings):
    value = keyed(entry=ENTRY, **settings)
    assert list(value) == ["1", "2", "3", "4", "5", "6", "whole"]
    for number in "123456":
        assert value[number]["colour"] in ("red", "blue", "other")
        assert value[number]["people"] >= 0
        assert isinstance(value[number]["note"], str)


# what is written


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"skips_every": 2}, {2: None, 4: None, 6: None}),
        ({"skips_every": 7}, {}),
        ({"copies_every": 3}, {3: PLAIN[2], 6: PLAIN[5]}),
        ({"copies_every": 1}, {number: PLAIN[number - 1] for number in range(2, 7)}),
        ({"says_nothing_every": 4}, {4: "no comment"}),
        (
            {"says_nothing_every": 2, "copies_every": 3},
            {2: "no comment", 4: "no comment", 3: PLAIN[2], 6: "no comment"},
        ),
        (
            {"skips_every": 3, "copies_every": 3, "says_nothing_every": 2},
            {2: "no comment", 3: None, 4: "no comment", 6: None},
        ),
        ({"skips_every": 2, "sees_first": 3}, {2: None, 4: None, 5: None, 6: None}),
        (
            {
                "skips_every": 2,
                "sees_first": 5,
                "keeps_images": 4,
            },
            {2: None, 4: None, 5: None, 6: None},
        ),
        ({"copies_every": 5, "sees_first": 4}, {5: None, 6: None}),
        ({"says_nothing_every": 5, "sees_first": 4}, {5: None, 6: None}),
    ],
)
@pytest.mark.parametrize("is_root", [LEAF, DIRECT])
def test_lines_are_left_out_copied_or_empty(settings, changed, is_root):
    expected = {number: line for number, line in (PLAIN | changed).items() if line is not None}
    assert lines(is_root, **settings)[0] == expected


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({"skips_every": 2}, "135"),
        ({"skips_every": 2, "sees_first": 3}, "13"),
        ({"skips_every": 2, "blind": True, "invents": True}, "135"),
        ({"skips_every": 4, "missing_keys": 1}, "1235"),
        ({"skips_every": 1}, ""),
    ],
)
def test_keys_are_left_out(settings, keys):
    assert list(keyed(**settings)) == [*keys, "whole"]


def test_values_are_copied_or_empty():
    value = keyed(copies_every=3, says_nothing_every=2)
    assert value["2"] == value["4"] == value["6"] == "no comment"
    assert value["3"] == f"[3] {PLAIN[2]}"
    assert value["5"] == f"[5] {PLAIN[5]}"


@pytest.mark.parametrize("setting", ["skips_every", "copies_every", "says_nothing_every"])
def test_a_line_that_is_not_written_changes_no_answer_about_all(setting):
    assert lines(DIRECT, **{setting: 2})[1] == lines(DIRECT)[1]
    assert keyed(**{setting: 2})["whole"] == keyed()["whole"]


def test_a_canary_is_an_image_like_the_others():
    shown = [PICTURES[0], canary("HAMMER"), PICTURES[1]]
    assert lines(pictures=shown, skips_every=2)[0] == {1: PLAIN[1], 3: PLAIN[2]}
    assert lines(pictures=shown, copies_every=3)[0] == {1: PLAIN[1], 2: "HAMMER", 3: "HAMMER"}


@pytest.mark.parametrize("is_root", [LEAF, DIRECT])
def test_a_request_with_too_many_images_gets_a_sentence(is_root):
    about, other = lines(is_root, no_lines_above=5)
    assert (about, len(other)) == ({}, 1)
    assert other[0].startswith("Of 6 images: ")
    assert lines(is_root, no_lines_above=6) == lines(is_root)


def test_in_json_too_a_request_with_too_many_images_gets_a_sentence():
    value = keyed(no_lines_above=5, sees_first=2)
    assert list(value) == ["answer"]
    assert value["answer"].startswith("Of 2 images: ")
    assert keyed(no_lines_above=6) == keyed()


# the reply


def test_a_reply_without_usage_has_none_in_its_stream_either():
    told = Reply("id", "m", 1, "words " * 9, "", "stop", Usage(1, 0, 14), reports_usage=False)
    assert "usage" not in told.completion()
    assert not [chunk for _, chunk in told.chunks(8, "b") if "usage" in chunk]


@pytest.mark.parametrize(
    "changes",
    [
        {"skips_every": -1},
        {"copies_every": -1},
        {"says_nothing_every": -1},
        {"sees_first": -1},
        {"keeps_tokens": -1},
        {"no_lines_above": -1},
        {"usage": "sometimes"},
    ],
)
def test_a_wrong_setting_is_refused(changes):
    with pytest.raises(ValidationError):
        CONFIG.changed(changes)
