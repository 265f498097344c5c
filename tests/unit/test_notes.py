"""Reading notes: which line is about which image, in the forms that models write."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import prompts
from core.text.notes import (
    CATEGORY,
    NO_CONTENT,
    NOT_LOOKED,
    SEPARATOR,
    copies,
    plain_form,
    read_notes,
    says_nothing,
    split_answer,
)

NUMBERS = (1, 2, 3)
COLOURS = {1: "red", 2: "blue", 3: "green"}


# --- lines


@pytest.mark.parametrize(
    "text",
    [
        "[1] red\n[2] blue\n[3] green",
        "[1]: red\n[2]: blue\n[3]: green",
        "[1] - red\n[2] – blue\n[3] — green",
        "[1]red\n[2]. blue\n[ 3 ] green",
        "  [1] red  \n\t[2] blue\n   [3] green",
        "**[1]** red\n**[2]**: blue\n__[3]__ green",
        "**[1] red**\n**[2]: blue**\n*[3] green*",
        "- [1] red\n- [2] blue\n- [3] green",
        "* **[1]** red\n* **[2]**: blue\n+ **[3]** - green",
        "• [1] red\n• [2] blue\n• [3] green",
        "> [1] red\n> [2] blue\n> [3] green",
        "1. [1] red\n2. [2] blue\n3. [3] green",
        "1) [1] red\n2) [2] blue\n3) [3] green",
        "[01] red\n[02] blue\n[03] green",
        "| [1] | red |\n| [2] | blue |\n| [3] | green |",
        "|[1]|red|\n|[2]|blue|\n|**[3]**|green|",
        "| Image | What it shows |\n|---|---|\n| 1 | red |\n| 2 | blue |\n| 3 | green |",
        "| **1** | red |\n| **2** | blue |\n| **3** | green |",
        "### [1]\nred\n\n### [2]\nblue\n\n### [3]\ngreen",
        "### Image 1\n\nred\n\n### Image 2\n\nblue\n\n### Image 3\n\ngreen",
        "**Image 1:**\nred\n\n**Image 2:**\nblue\n\n**Image 3:**\ngreen",
        "Image 1: red\nImage 2: blue\nImage 3: green",
        "image 1 - red\nIMAGE 2: blue\nImage #3: green",
        "**Image 1:** red\n- Image 2: blue\n1. Image 3: green",
        "Image [1]: red\nImage [2]: blue\nImage [3]: green",
        "Photo 1: red\nPicture 2: blue\nImg 3: green",
        "Bild 1: red\nFoto 2: blue\nImagen 3: green",
        "图片1: red\n图片 2: blue\n图3: green",
        "1. red\n2. blue\n3. green",
        "1) red\n2) blue\n3) green",
        "1: red\n2: blue\n3: green",
        "**1.** red\n**2.** blue\n**3.** green",
        "[3] green\n[1] red\n[2] blue",
        "[1] red\r\n[2] blue\r\n[3] green\r\n",
        "[1] red\n\n\n[2] blue\n\n\n[3] green",
        "Here are the notes:\n[1] red\n[2] blue\n[3] green\n\nIn all, three colours.",
    ],
)
def test_a_line_begins_with_its_number(text: str) -> None:
    notes = read_notes(text, NUMBERS)
    assert dict(sorted(notes.lines.items())) == COLOURS


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("[1] 红色的谷仓\n[2] 蓝色的船", {1: "红色的谷仓", 2: "蓝色的船"}),
        ("[1] 赤い納屋。\n[2] 青い船。", {1: "赤い納屋。", 2: "青い船。"}),
        ("[1] красный амбар\n[2] лодка", {1: "красный амбар", 2: "лодка"}),
        ("[1] حظيرة حمراء\n[2] قارب", {1: "حظيرة حمراء", 2: "قارب"}),
        ("[１] red\n[２] blue", {1: "red", 2: "blue"}),
    ],
)
def test_a_line_may_be_in_any_language(text: str, lines: dict[int, str]) -> None:
    assert read_notes(text, NUMBERS).lines == lines


@pytest.mark.parametrize(
    "line",
    [
        *("[1-3] all red", "[1–3] all red", "[1 - 3]: all red", "[1 to 3] all red", "[1, 2] both"),
        *("[1,2,3] all", "[1; 3] both", "[1][2] both", "[1] [2] both", "[1], [2] both"),
        *("[1] and [2] both", "[1], [2] and [3] all", "[1] & [2] both", "**[1-3]** all red"),
        *("- [1][2] both", "| [1-3] | all red |", "Images 1-3: all red", "Image [1-3]: all red"),
        *("1-3: all red", "All are red [1-3]."),
    ],
)
def test_a_line_about_several_images_is_about_none_of_them(line: str) -> None:
    assert read_notes(line, NUMBERS).lines == {}
    mixed = read_notes(f"[1] red\n\n{line}\n[2] blue", NUMBERS)
    assert mixed.lines == {1: "red", 2: "blue"}
    assert mixed.rest == line


def test_a_line_about_several_images_ends_the_line_above_it() -> None:
    notes = read_notes("[1] red\n[2-3] both blue\nwith doors", NUMBERS)
    assert notes.lines == {1: "red"}
    assert notes.rest == "[2-3] both blue\nwith doors"


@pytest.mark.parametrize("end", ["```", "Answer: red", "## Answer:", "**Antwort:** rot", "=" * 9])
def test_a_heading_or_a_fence_between_lines_belongs_to_no_image(end: str) -> None:
    notes = read_notes(f"[1] red\n{end}\nbelow it\n[2] blue\nand white", NUMBERS)
    assert notes.lines == {1: "red", 2: "blue\nand white"}
    assert notes.rest == f"{end}\nbelow it"


@pytest.mark.parametrize("number", ["[1]", "【1】", "<b>[1]</b>", "\\[1\\]", "第1张图片："])
def test_only_the_beginning_of_a_line_is_read_in_other_signs(number: str) -> None:
    said = f"{'a red barn ' * 6}with 【2】 \\[x] <b>bold</b>\xa0："
    assert read_notes(f"{number} {said}", NUMBERS).lines == {1: said}


def test_text_below_a_line_belongs_to_it_up_to_an_empty_line() -> None:
    notes = read_notes("[1] red\n  with a door\n- and a roof\n\nAll by day.\n[2] blue", NUMBERS)
    assert notes.lines == {1: "red\nwith a door\n- and a roof", 2: "blue"}
    assert notes.rest == "All by day."


@pytest.mark.parametrize("rule", ["---", "***", "___", " ----- "])
def test_text_below_a_rule_belongs_to_no_line(rule: str) -> None:
    notes = read_notes(f"[1] red\n{rule}\nAll by day.", NUMBERS)
    assert notes.lines == {1: "red"}
    assert notes.rest.endswith("All by day.")


def test_of_two_lines_about_an_image_the_first_counts() -> None:
    notes = read_notes("[1] red\n[2] blue\n[1] white\nand more", NUMBERS)
    assert notes.lines == {1: "red", 2: "blue"}
    assert notes.rest == "[1] white\nand more"


def test_a_line_of_another_number_and_what_is_below_it_belong_to_no_image() -> None:
    notes = read_notes("[1] red\n[9] a ghost\nwith a sheet\n[2] blue", NUMBERS)
    assert notes.lines == {1: "red", 2: "blue"}
    assert notes.rest == "[9] a ghost\nwith a sheet"


@pytest.mark.parametrize(
    "text", ["[1]", "[1]\n\n", "**[1]**:", "| [1] | |", "[1] --", "[1]\n[2] b"]
)
def test_a_number_without_text_is_not_a_line(text: str) -> None:
    assert 1 not in read_notes(text, NUMBERS).lines


@pytest.mark.parametrize(
    "text",
    [
        "red [1], blue [2], green [3]",
        "The first [1] is red.",
        "[one] red",
        "[1a] red",
        "[2024-05-01] a date",
        "[1.5] a number",
        "10 dogs",
        "",
        " \n\n",
    ],
)
def test_other_text_has_no_line(text: str) -> None:
    assert read_notes(text, NUMBERS).lines == {}


def test_bare_numbers_count_only_where_they_stand_before_most_images() -> None:
    text = "Findings:\n1. Two are red\n2. One is old"
    assert read_notes(text, range(1, 5)).lines == {}
    assert set(read_notes(text, range(1, 4)).lines) == {1, 2}
    assert read_notes(f"[4] old\n{text}", range(1, 5)).lines.keys() == {4}


def test_only_the_wanted_numbers_have_lines() -> None:
    text = "[1] red\n[2] blue\n[3] green"
    assert read_notes(text, {2}).lines == {2: "blue"}
    notes = read_notes(text, ())
    assert (notes.lines, notes.rest) == ({}, text)


@given(
    st.dictionaries(
        st.integers(1, 60), st.text("abc déñ 红[]|*_.:-", min_size=1).map(str.strip), min_size=1
    )
)
def test_what_is_written_as_a_line_is_read_back(lines: dict[int, str]) -> None:
    """Whatever its text has in it, unless it begins with what belongs to the number."""
    lines = {number: f"a {line} z" for number, line in lines.items()}
    text = "\n".join(f"[{number}] {line}" for number, line in lines.items())
    assert read_notes(text, range(1, 61)).lines == lines


@given(st.text("[]123 ,-:.=*|#\nImage图片andto", max_size=80))
def test_no_reply_makes_reading_fail_or_invents_text(text: str) -> None:
    notes = read_notes(text, NUMBERS)
    assert set(notes.lines) <= set(NUMBERS)
    assert all(line.strip() for line in notes.lines.values())
    assert all(part in text for line in notes.lines.values() for part in line.splitlines())
    above, answer = split_answer(text, NUMBERS)
    assert above in text
    assert all(part in text for part in answer.splitlines())


# --- the answer below the notes


@pytest.mark.parametrize(
    "separator", ["===", "=====", " === ", "**===**", "=" * 80, "\n===\n", "===\n\n"]
)
@pytest.mark.parametrize(
    "heading", ["", "Answer: ", "**Answer:** ", "## Answer: ", "回答：", "---\n"]
)
def test_the_answer_stands_below_the_separator(separator: str, heading: str) -> None:
    text = f"[1] red\n[2] blue\n{separator}\n{heading}Two colours [1, 2].\n\nNo more."
    notes, answer = split_answer(text, NUMBERS)
    assert notes == "[1] red\n[2] blue"
    assert answer == "Two colours [1, 2].\n\nNo more."


def test_the_separator_is_the_one_that_the_model_is_asked_for() -> None:
    assert f"write {SEPARATOR} on a line" in prompts.text("lines")


@pytest.mark.parametrize("text", ["[1] red\n===", "[1] red\n===\n\n", "[1] red\n===\nAnswer:\n"])
def test_an_answer_may_be_missing(text: str) -> None:
    assert split_answer(text, NUMBERS) == ("[1] red", "")


def test_of_several_separators_the_first_counts() -> None:
    assert split_answer("[1] red\n===\nOne.\n===\nTwo.", NUMBERS) == ("[1] red", "One.\n===\nTwo.")


@pytest.mark.parametrize("text", ["a == b === c", "==", "= = =", "x\n=== x\ny"])
def test_other_signs_separate_nothing(text: str) -> None:
    assert split_answer(text, NUMBERS) == ("", text)


@pytest.mark.parametrize("between", ["\n\n", "\n---\n", "\n\nAnswer: ", "\n**Answer:** ", "\n\n\n"])
def test_without_a_separator_the_answer_is_below_the_last_line(between: str) -> None:
    text = f"[1] red\n[2] blue\nand white{between}Two colours [1, 2]."
    assert split_answer(text, NUMBERS) == (text, "Two colours [1, 2].")


def test_a_citation_in_an_answer_is_not_the_last_line() -> None:
    text = "[1] red\n[2] blue\n\nTwo colours: the first [1], the other [2]."
    assert split_answer(text, NUMBERS)[1] == "Two colours: the first [1], the other [2]."


def test_an_answer_may_begin_with_several_citations() -> None:
    text = "[1] red\n[2] blue\n\n[1][2] are both old."
    assert split_answer(text, NUMBERS)[1] == "[1][2] are both old."


@pytest.mark.parametrize("text", ["[1] red\n[2] blue", "Hello.\n\n[1] red\n[2] blue\nand white"])
def test_where_nothing_is_below_the_lines_the_whole_reply_is_the_answer(text: str) -> None:
    assert split_answer(text, NUMBERS) == (text, text)


@pytest.mark.parametrize("text", ["Two colours [1, 2].", "1 and 2.\n\nNo more.", "Answer: two"])
def test_a_reply_without_lines_has_no_notes(text: str) -> None:
    assert split_answer(text, NUMBERS) == ("", text)


# --- lines that prove nothing


@pytest.mark.parametrize("form", sorted(NOT_LOOKED | NO_CONTENT))
def test_the_forms_are_plain(form: str) -> None:
    assert form == plain_form(form)
    assert form


def test_a_form_is_either_about_an_image_that_was_not_looked_at_or_without_content() -> None:
    assert not NOT_LOOKED & NO_CONTENT


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    "line",
    [
        *("", " ", "No comment", "no comment.", "NO COMMENT!", "(no comment)", "*No comment*"),
        *("I can't see this image.", "Image not provided", "无评论", "同上。", "看不到"),
        *("Same as previous image", "(see above)", "Wie oben.", "Pas de commentaire"),
    ],
)
def test_an_image_that_was_not_looked_at_has_no_line(line: str, alone: bool) -> None:
    assert says_nothing(line, alone)


@pytest.mark.parametrize(
    "line",
    [
        *("-", "…", "?!", "N/A", "n.a.", "Not applicable.", "**n/a**", "ditto", "TBD"),
        *("keine Angabe", "无", "No description.", "nothing to say"),
    ],
)
def test_a_line_without_content_counts_only_where_its_image_was_shown_alone(line: str) -> None:
    """Among others it may stand for an image that the model left out."""
    assert says_nothing(line)
    assert not says_nothing(line, alone=True)


@pytest.mark.parametrize(
    "line",
    [
        *("no damage", "none", "yes", "0", "red", "no", "empty", "not damaged", "unknown", "红"),
        *("No comment is painted on the wall", "same colour as [1]", "nothing visible on the road"),
        *("Not shown.", "not available", "Not provided", "same", "Same.", "no information"),
    ],
)
def test_a_short_line_may_say_something(line: str) -> None:
    assert not says_nothing(line)
    assert not says_nothing(line, alone=True)


# --- copies


@pytest.mark.parametrize(
    ("lines", "copied"),
    [
        ("", []),
        ("abc", []),
        ("abca", []),  # they do not stand side by side
        ("abcaa", []),  # most images have it: it is what the question makes of them
        ("abaacd", [4]),
        ("aabbccdd", [2, 4, 6, 8]),
        ("aaabcde", [2, 3]),
        ("aaab", []),
        ("aa", []),
    ],
)
def test_the_line_of_the_image_before_it_is_a_copy(lines: str, copied: list[int]) -> None:
    numbered = dict(enumerate(lines, start=1))
    assert copies(numbered) == {number: numbered[number] for number in copied}


@pytest.mark.parametrize(("same", "others"), [(2, 1), (3, 2), (4, 3), (2, 0)])
def test_a_line_that_more_than_half_of_the_images_share_is_no_copy(same: int, others: int) -> None:
    lines = ["a dog"] * same + [f"cat {n}" for n in range(others)]
    assert copies(dict(enumerate(lines, start=1))) == {}
    half = [*lines, *(f"cow {n}" for n in range(same - others))]
    assert set(copies(dict(enumerate(half, start=1)))) == set(range(2, same + 1))


@pytest.mark.parametrize("others", [CATEGORY, 20, 200])
def test_a_line_that_many_images_share_names_a_kind_and_is_no_copy(others: int) -> None:
    """Fewer images share it than half of them; one less than CATEGORY are copies."""
    told = [f"cat {n}" for n in range(others)]
    assert copies(dict(enumerate(["intact"] * CATEGORY + told, start=1))) == {}
    fewer = dict(enumerate(["intact"] * (CATEGORY - 1) + told, start=1))
    assert copies(fewer) == dict.fromkeys(range(2, CATEGORY), "intact")


def test_lines_are_compared_by_their_plain_forms() -> None:
    lines = {1: "A dog.", 2: "a cat", 3: "a  dog", 4: "a dog [1]", 5: "a dog [4]", 6: "**a dog**"}
    assert copies(lines) == {}
    assert copies({1: "A dog.", 2: "**a  DOG**", 3: "a cat", 4: "a cow"}) == {2: "adog"}
    assert copies({1: "a dog [1]", 2: "a dog [2]", 3: "a cat", 4: "a cow"}) == {}


def test_plain_forms_ignore_case_spaces_and_signs() -> None:
    assert plain_form(" **A_Dog**, 3! ") == "adog3"
    assert plain_form("STRASSE") == plain_form("Straße")
    assert plain_form("红色，的。") == "红色的"


# --- time

CLASSES = (
    *"-*+•>|# \t_[](){}:.–—,;&=",
    *("1", "12", "1.", "1) ", "[1", "[1]", "[ 1 ]", "[1] ", "[1],", "[1] and ", "[1] to ", "1:"),
    *("image", "image ", "image 1 ", "img", "photo 1: ", "图", "图片", "图片1", "图片 ", "bild#1"),
    *(
        "a",
        "to",
        "and ",
        "answer",
        "answer: ",
        "答案：",
        "回答",
        "**",
        "__",
        "* ",
        "| ",
        "# ",
        "> ",
    ),
    *("\n", " \n", "\r\n", "a\n", "[1] a\n", "[1]\n", "image 1: a\n", "1. a\n", "| 1 | a |\n"),
    *("[1-2] a\n", "===", "===\n", "---\n", "***\n", "___\n", "*=*", "\t\n", "- \n", "answer:\n"),
    *(
        "`",
        "```\n",
        "\\[",
        "\\[1\\]",
        "<b>",
        "</li>",
        "<b>[1]</b>",
        "【",
        "【1】",
        "：",
        "\xa0",
        "、",
    ),
    *(
        "第",
        "第1",
        "第1张图片",
        "张",
        "照片",
        "写真1",
        "(1) ",
        "1 - ",
        "[1]/",
        "[1]+",
        "[1] und ",
        "[图1",
    ),
)
"""Each class of characters that the expressions repeat, and their sequences."""
SIZE = 20_000
SECONDS = 0.4
"""Reading takes 20 ms; what is not linear takes seconds."""


@pytest.mark.parametrize(("beginning", "ending"), [("", ""), ("", "[1] x"), ("[1] x\n", "x")])
@pytest.mark.parametrize("piece", CLASSES, ids=repr)
def test_reading_takes_time_in_proportion_to_a_reply(
    piece: str, beginning: str, ending: str
) -> None:
    text = beginning + (piece * (SIZE // len(piece) + 1))[:SIZE] + ending
    started = time.process_time()
    read_notes(text, NUMBERS)
    split_answer(text, NUMBERS)
    says_nothing(text)
    assert time.process_time() - started < SECONDS


def test_copies_among_many_long_lines_take_little_time() -> None:
    lines = dict.fromkeys(range(1, 61), "a dog " * 300)
    started = time.process_time()
    assert copies(lines) == {}
    assert time.process_time() - started < SECONDS
