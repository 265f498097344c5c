"""Descriptions of images, and the answers made from them."""

import io
import json
from enum import Enum
from typing import Annotated

import pytest
from PIL import Image, ImageDraw
from pydantic import BaseModel, Field, TypeAdapter

from overstory.sandbox.answers import citations, malformed, observation, words
from overstory.sandbox.answers.json_schema import wanted_schema
from overstory.sandbox.answers.json_value import fill
from overstory.sandbox.config import FaultKind, SandboxConfig
from overstory.sandbox.errors import Refusal
from overstory.sandbox.protocol.reply import Reply, Usage, spend, spoiled
from overstory.sandbox.vision.colours import colour_name
from overstory.sandbox.vision.describe import SMALL_PIXELS, describe_if_small, describe_image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(colour="navy", size=(40, 30), mode="RGB"):
    return Image.new(mode, size, colour)


def half(left, right):
    image = plain(left, (100, 100))
    ImageDraw.Draw(image).rectangle((60, 0, 99, 99), fill=right)
    return image


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"),
        ((255, 255, 255), "white"),
        ((128, 128, 128), "grey"),
        ((220, 20, 30), "red"),
        ((255, 140, 0), "orange"),
        ((139, 69, 19), "brown"),
        ((250, 220, 20), "yellow"),
        ((30, 160, 40), "green"),
        ((0, 128, 128), "teal"),
        ((20, 40, 200), "blue"),
        ((120, 20, 160), "purple"),
        ((255, 20, 147), "pink"),
        ((245, 222, 190), "beige"),
    ],
)
def test_colours_have_their_plain_names(rgb, name):
    assert colour_name(*rgb) == name


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (
            plain("navy", (40, 30)),
            "40x30 landscape, mostly cool blue 100 %; dark; contrast 0; flat",
        ),
        (plain("white", (30, 30)), "30x30 square, mostly white 100 %; bright; contrast 0; flat"),
        (plain((0, 0, 0, 0), (30, 40), "RGBA"), "30x40 portrait, mostly black 100 %; dark"),
        (half("red", "white"), "100x100 square, mostly warm red 6"),
        (plain(200, (20, 20), "L"), "20x20 square, mostly grey 100 %; bright"),
    ],
)
def test_an_image_is_described_from_its_pixels(image, sentence):
    assert describe_image(encoded(image)).sentence().startswith(sentence)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_the_four_formats_are_read(kind):
    description = describe_image(encoded(plain(), kind))
    assert (description.width, description.height, description.format) == (40, 30, kind.lower())


@pytest.mark.parametrize(("width", "small"), [(SMALL_PIXELS // 500, True), (2_001, False)])
def test_only_a_small_image_is_described_on_the_event_loop(width, small):
    data = encoded(plain("navy", (width, 500)), "JPEG")
    assert describe_if_small(data) == (describe_image(data) if small else None)


ANIMATED = encoded(plain("red"), "GIF", save_all=True, append_images=[plain("blue")])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cannot be decoded"),
        (b"hello", "cannot be decoded"),
        (encoded(plain(), "BMP"), "cannot be decoded"),
        (encoded(half("red", "blue"), "JPEG")[:-200], "cannot be decoded"),
        (encoded(plain(size=(1, 40))), "size is invalid"),
        (ANIMATED, "animated GIF"),
    ],
)
def test_an_unusable_image_is_refused(data, words):
    with pytest.raises(Refusal, match=words) as caught:
        describe_image(data)
    assert (caught.value.status, caught.value.kind) == (400, "input_invalid")


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("Describe them.", 3, (1, 2, 3)),
        ("Images [7], [9] and [12]. Cite as [9].", 3, (7, 9, 12)),
        ("These are [32] to [34], in order.", 3, (32, 33, 34)),
        ("These are [32]-[34] and [40].", 4, (32, 33, 34, 40)),
        ("Images [5] to [8]. For example [99].", 4, (5, 6, 7, 8)),
        ("See [4] and [5].", 3, (1, 2, 3)),
        ("From [1] to [999999999].", 3, (1, 2, 3)),
        ("The 4 images above are numbered [1] to [4], in the order given.", 4, (1, 2, 3, 4)),
    ],
)
def test_images_are_numbered_as_the_prompt_declares(text, count, expected):
    assert citations.declared(text, count) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["[1] red\n[2] blue", "Sum up; cite as [99]."], (1, 2)),
        (["[1] red\n\n[2] blue\n\nSum up; cite as [99]."], (1, 2)),
        (["Cite as [99].\n<notes>\n[1] red\n[2] blue\n</notes>\nSum up."], (1, 2)),
        (["[1] red, [2] blue"], (1, 2)),
        (["no notes at all"], ()),
        ([], ()),
    ],
)
def test_markers_come_from_notes_not_from_instructions(parts, expected):
    assert tuple(s.marker for s in observation.from_notes(citations.notes_of(parts))) == expected


NOTES = "\n".join(
    f"[{n}] 728x546 landscape, mostly {'red' if n % 3 else 'blue'} 90 %; dark; flat"
    for n in range(1, 61)
)


def test_a_summary_cites_every_marker_and_invents_none():
    text = words.summarise(observation.from_notes(NOTES), None, None)
    assert set(citations.cited(text)) == set(range(1, 61))
    assert "Of 60 images: 40 mostly red, 20 mostly blue, 60 dark." in text


def test_a_summary_of_summaries_loses_nothing():
    first = words.summarise(observation.from_notes(NOTES), None, None)
    assert words.summarise(observation.from_notes(first), None, None) == first


def test_a_summary_with_less_room_writes_runs_short_and_still_cites_everything():
    notes = "\n".join(f"[{n}] mostly {'red' if n < 40 else 'blue'}; dark" for n in range(1, 61))
    text = words.summarise(observation.from_notes(notes), None, 300)
    assert "Mostly red, dark (39): [1-39]" in text
    assert citations.cited(text) == tuple(range(1, 61))


def described(observations, text):
    return words.describe(observations, words.question_in(text), words.lines_of(observations))


def test_the_opening_sentence_is_not_read_as_a_note_on_the_images_it_cites():
    observations = observation.from_notes("[3] mostly red; dark\n[4] mostly blue; bright")
    again = observation.from_notes(described(observations, "Which are blue?"))
    assert {s.marker: (s.colour, s.light) for s in again} == {
        3: ("red", "dark"),
        4: ("blue", "bright"),
    }


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("[17]", (17,)),
        ("[3, 5; 9]", (3, 5, 9)),
        ("[3-6, 1]", (3, 4, 5, 6, 1)),
        ("[a] [3x] [] 17", ()),
    ],
)
def test_markers_are_read_in_all_their_forms(text, numbers):
    assert citations.cited(text) == numbers


@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3, 5), (9, 4, 5)])
@pytest.mark.parametrize("short", [False, True])
def test_written_markers_are_read_again(numbers, short):
    assert set(citations.cited(citations.written(numbers, short))) == set(numbers)


def test_a_summary_that_must_be_short_counts_what_it_does_not_cite():
    text = words.summarise(observation.from_notes(NOTES), None, 300)
    assert len(text.encode()) <= 300
    assert "more" in text
    assert set(citations.cited(text)) < set(range(1, 61))


def test_a_question_is_answered_with_evidence():
    observations = observation.from_notes("[3] mostly red; dark\n[4] mostly blue; bright")
    text = described(observations, "Look. Which are red or green?")
    assert "1 red: [3]." in text
    assert "None is green." in text


class Tone(Enum):
    RED = "red"
    BLUE = "blue"
    UNKNOWN = "unknown"


class Item(BaseModel):
    image: Annotated[int, Field(ge=1)]
    colour: Tone
    is_dark: bool
    confidence: Annotated[float, Field(ge=0, le=1)]
    note: str | None


class Report(BaseModel):
    answer: Annotated[str, Field(min_length=1, max_length=80)]
    total: int
    citations: list[int]
    items: list[Item]
    best: Item
    by_image: dict[str, Item]
    few: Annotated[list[str], Field(min_length=1, max_length=2)]


OBSERVATIONS = observation.from_notes("[17] mostly red; dark\n[18] mostly blue; bright")


def test_json_answers_match_a_nested_schema_and_contain_what_was_seen():
    report = Report.model_validate(fill(Report.model_json_schema(), OBSERVATIONS, "Two images."))
    assert report.citations == [17, 18]
    assert report.total == 2
    assert [item.colour for item in report.items] == [Tone.RED, Tone.BLUE]
    assert [item.is_dark for item in report.items] == [True, False]
    assert {key: item.image for key, item in report.by_image.items()} == {"17": 17, "18": 18}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer", "minimum": 10, "maximum": 12}, int),
        ({"type": "number", "exclusiveMinimum": 5, "exclusiveMaximum": 6}, float),
        ({"type": ["null", "boolean"]}, bool),
        ({"const": "x"}, str),
        ({"type": "null"}, type(None)),
        ({"items": {"type": "string"}}, list),
        ({"patternProperties": {"^[0-9]+$": {"type": "boolean"}}}, dict[str, bool]),
        ({"allOf": [{"properties": {"a": {"type": "null"}}}, {"required": ["b"]}]}, dict),
        ({}, str),
    ],
)
@pytest.mark.parametrize("observations", [OBSERVATIONS, []])
def test_any_schema_gets_a_value_of_its_type(schema, kind, observations):
    TypeAdapter(kind).validate_python(fill(schema, observations, "text"), strict=True)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Say it in JSON.", None),
        ('Answer {"type": "object", "properties": {"a": {"type": "null"}}}', {"a": None}),
        (
            'A map {"1": "...", ...}',
            {"17": "[17] mostly red; dark", "18": "[18] mostly blue; bright"},
        ),
    ],
)
def test_json_object_follows_what_the_prompt_shows(prompt, expected):
    schema = wanted_schema({"type": "json_object"}, prompt)
    assert (schema and fill(schema, OBSERVATIONS, "text")) == expected


@pytest.mark.parametrize(
    ("budget", "content", "finish", "tokens"),
    [
        (1000, "words " * 10, "stop", 32 + 15),
        (47, "words " * 10, "stop", 47),
        (46, ("words " * 10)[:56], "length", 46),
        (32, "", "length", 32),
        (8, "", "length", 8),
    ],
)
def test_reasoning_spends_max_tokens_first(budget, content, finish, tokens):
    spent = spend("words " * 10, 32, budget)
    assert (spent.content, spent.finish, spent.tokens) == (content, finish, tokens)


def test_a_cut_answer_ends_at_a_character_boundary():
    assert spend("é" * 9, 0, 3).content == "é" * 6
    assert spend("a" + "é" * 9, 0, 3).content == "a" + "é" * 5


@pytest.mark.parametrize(
    ("fault", "finish"),
    [
        (FaultKind.LENGTH, "length"),
        (FaultKind.EMPTY, "stop"),
        (FaultKind.CONTENT_FILTER, "content_filter"),
    ],
)
def test_a_spoiled_generation_has_no_content(fault, finish):
    spent = spoiled(spend("words", 32, 100), fault, 100)
    assert (spent.content, spent.finish) == ("", finish)


@pytest.mark.parametrize("dialect", ["a", "b"])
def test_a_stream_has_the_text_of_the_full_reply_and_counts_up(dialect):
    spent = spend("words " * 40, 32, 1000)
    usage = Usage(10, 0, spent.tokens)
    reply = Reply("id", "m", 1, spent.content, spent.reasoning, spent.finish, usage)
    chunks = [chunk for _, chunk in reply.chunks(8, dialect)]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    spent_so_far = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert "".join(delta.get("content", "") for delta in deltas) == spent.content
    assert "".join(delta.get("reasoning", "") for delta in deltas) == spent.reasoning
    assert spent_so_far == sorted(spent_so_far)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"] == json.loads(json.dumps(reply.completion()["usage"]))


KEYED = {
    "type": "object",
    "properties": {"1": {"$ref": "#/$defs/a"}, "2": {"$ref": "#/$defs/a"}, "whole": {}},
    "$defs": {"a": {"type": "object", "properties": {"colour": {"type": "string"}}}},
}


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({}, ["1", "2", "whole"]),
        ({"missing_keys": 1}, ["1", "whole"]),
        ({"missing_keys": 2}, ["1", "2", "whole"]),
        ({"missing_colour": "red"}, ["2", "whole"]),
        ({"false_totals": True}, ["9999", "1", "2", "whole", "total", "count", "images"]),
    ],
)
def test_a_keyed_reply_answers_each_image_for_itself(config, keys):
    observations = [
        observation.Observation(1, "red, dark", ("red", "dark")),
        observation.Observation(2, "blue", ("blue",)),
    ]
    value = fill(KEYED, observations, "All of them.")
    assert [value[key]["colour"] for key in "12"] == ["red", "blue"]
    reply = json.loads(malformed.reply_text(value, observations, SandboxConfig(**config)))
    assert list(reply) == keys
