"""Notes in plain text: which line is about which image, and where the answer below them begins.

A line about an image begins with its number: ``[17] a red barn``, ``Image 17: a red barn``. A bare
number (``17.``) counts where most lines have one. A line about several images at once is about none
of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

SEPARATOR = "==="
"""The line between notes and answer (core/prompts/lines.txt)."""

HEAD = 64
"""Characters at the beginning of a line in which its number may stand."""
_ALIKE = str.maketrans("【】［］：\u00a0\u3000", "[][]:  ")
"""Signs of other scripts and their like."""
_DRESSED = re.compile(r"\\(?=[\[\]])|</?(?:b|i|em|strong|p|li)>", re.IGNORECASE)
"""Escapes and tags around a number."""

# No two parts of an expression may take the same characters without a bound: replies are hostile.
_GAP = r"[ \t]{0,4}"
_LEAD = r"[-*+•>|# \t]{0,12}(?:\d{1,4}[.)][ \t]{1,4})?[*_`]{0,3}"
_NAMES = r"image|img|photo|picture|bild|foto|imagen|图片|图像|照片|图|画像|写真"
_NAMED = rf"(?:第|(?:{_NAMES}){_GAP}#?{_GAP})"
_AND = rf"{_GAP}(?:[,;/+&~、和与-]|–|—|to|and|und|et|y|e|bis){_GAP}"
_SAID = r"[*_`]{0,3}[ \t:.)|–—、-]{0,8}(.*)"
_SEVERAL = re.compile(
    rf"{_LEAD}(?:"
    rf"(?:{_NAMED})?\[{_GAP}(?:{_NAMED})?\d{{1,9}}(?:{_AND}\d|{_GAP}\](?:{_AND}|{_GAP})(?:{_NAMED})?\[{_GAP}\d)"
    rf"|{_NAMED}\d{{1,9}}{_AND}(?:{_NAMED})?\d)",
    re.IGNORECASE,
)
"""The beginning of a line about several images."""
_BRACKETS = re.compile(
    rf"{_LEAD}(?:{_NAMED})?\[{_GAP}(?:{_NAMED})?(\d{{1,9}}){_GAP}\]{_SAID}",
    re.IGNORECASE | re.DOTALL,
)
_WORD = re.compile(
    rf"{_LEAD}{_NAMED}(\d{{1,9}})(?!\d)(?:张(?:{_NAMES})?)?{_SAID}", re.IGNORECASE | re.DOTALL
)
_NUMBER = re.compile(
    r"[-*+•>|# \t]{0,12}[*_]{0,3}\(?(\d{1,9})[*_]{0,3}(?:[ \t]?[.:)|、]|[ \t][–—-][ \t])" + _SAID,
    re.DOTALL,
)
_NEXT_ONE = re.compile(rf"(?<=[.!?;。！？；]){_GAP}\[{_GAP}(\d{{1,9}}){_GAP}\]{_GAP}(?=[^\s\[.,;])")
"""A number in brackets that begins a sentence inside a line."""
_SEPARATOR = re.compile(r"[ \t*]{0,8}={3,80}[ \t*]{0,8}")
_RULE = re.compile(r"[ \t]{0,8}(?:-{3,80}|\*{3,80}|_{3,80}|={3,80}|```.{0,20})[ \t]{0,8}")
_HEADING = re.compile(
    r"[#*_ \t]{0,8}(?:answer|antwort|réponse|respuesta|回答|答案)[*_ \t]{0,8}[:：][*_ \t]{0,8}",
    re.IGNORECASE,
)
_NOT_TEXT = re.compile(r"[\W_]+")

_NOT_LOOKED = """
    no comment, no comments, i cannot see this image, i cant see this image, cannot see the image,
    no image provided, no image available, image not provided, image not available, same as above,
    see above, as above, same as before, same as previous image, same as the previous image,
    same as the previous one, same as image, kein kommentar, wie oben, sin comentarios,
    pas de commentaire, sans commentaire, 无评论, 没有评论, 同上, 看不到
"""
_NO_CONTENT = """
    na, not applicable, nothing to say, no description, no note, no notes, skipped, ditto, todo,
    tbd, keine angabe, 无
"""


def _forms(phrases: str) -> frozenset[str]:
    return frozenset("".join(phrase.split()) for phrase in phrases.split(","))


NOT_LOOKED = _forms(_NOT_LOOKED)
"""Plain forms of what a model says of an image that it has not looked at."""
NO_CONTENT = _forms(_NO_CONTENT)
"""Plain forms that prove nothing in a line among others, but may be all that is to be said."""
CATEGORY = 5
"""A line that so many images share names a kind of image. Fewer are copies: a model that has lost
its place repeats a line once or twice."""


@dataclass(frozen=True, slots=True)
class Notes:
    """``lines``: the line of each image that has one of its own. ``rest``: all other text."""

    lines: Mapping[int, str]
    rest: str


def read_notes(text: str, numbers: Collection[int]) -> Notes:
    """The lines of ``text`` about the images ``numbers``; of two about the same image, the first.

    Text under a line, up to an empty line, a rule or a heading, belongs to it.
    """
    wanted = frozenset(numbers)
    physical = text.splitlines()
    return _read(physical, wanted, _patterns(physical, wanted))


def split_answer(text: str, numbers: Collection[int]) -> tuple[str, str]:
    """The notes of a reply and the answer below them. The answer is empty where none is there.

    Without the line ``===``, the answer is what stands after the last line about an image; where
    nothing does, the whole reply is the answer.
    """
    physical = text.splitlines()
    for at, line in enumerate(physical):
        if _SEPARATOR.fullmatch(line):
            return "\n".join(physical[:at]).strip(), _answer("\n".join(physical[at + 1 :]))
    if not read_notes(text, numbers).lines:
        return "", text.strip()
    below = _below(physical, frozenset(numbers))
    return text.strip(), _answer("\n".join(below)) or text.strip()


def says_nothing(line: str, alone: bool = False) -> bool:
    """Whether a line is no proof that its image was seen: it is empty, or a phrase such as ``no
    comment``. ``alone``: the image was shown alone, so that ``n/a`` is about it."""
    plain = plain_form(line)
    if not line.strip() or plain in NOT_LOOKED:
        return True
    return not alone and (not plain or plain in NO_CONTENT)


def has_separator(text: str) -> bool:
    """Whether the line ``===`` ends the notes of a reply."""
    return any(_SEPARATOR.fullmatch(line) for line in text.splitlines())


def copies(lines: Mapping[int, str]) -> dict[int, str]:
    """Images whose line the image before them has too, with that line's plain form. A line that
    more than half of the images share, or CATEGORY of them, is not a copy. Equal lines of images
    that do not stand side by side are not copies either: pictures may be alike."""
    forms = {number: plain_form(line) for number, line in lines.items()}
    counted = Counter(forms.values())
    return {
        number: form
        for number, form in forms.items()
        if form == forms.get(number - 1)
        and counted[form] < CATEGORY
        and 2 * counted[form] <= len(forms)
    }


def plain_form(line: str) -> str:
    """``line`` in small letters without spaces and punctuation, to compare it."""
    return _NOT_TEXT.sub("", line.casefold())


def _read(
    physical: list[str], numbers: frozenset[int], patterns: tuple[re.Pattern[str], ...]
) -> Notes:
    lines: dict[int, list[str]] = {}
    rest: list[str] = []
    under: list[str] | None = None  # the line that what follows belongs to
    for line in physical:
        number, said = _own(line, patterns)
        if number in numbers and number not in lines:
            under = lines[number] = [said] if said else []
        elif number is not None or _ends_lines(line):
            under = None
            rest.append(line)
        elif under is not None and line.strip():
            under.append(line.strip())
        elif under:
            under = None
        elif under is None:
            rest.append(line)
    joined = {number: "\n".join(parts) for number, parts in lines.items()}
    return Notes(_parted(joined, numbers), "\n".join(rest).strip())


def _ends_lines(line: str) -> bool:
    """Whether what follows belongs to no image: below a line about several, a rule or a heading."""
    plain = _plain(line)
    return bool(_SEVERAL.match(plain) or _RULE.fullmatch(plain) or _HEADING.match(plain))


def _parted(lines: Mapping[int, str], numbers: frozenset[int]) -> dict[int, str]:
    """``lines`` that are not empty. A line that goes on with sentences about images that have no
    line (``[1] red. [2] blue.``) is parted: some models write no line ends."""
    parted: dict[int, str] = {}
    for number, line in lines.items():
        about, start = number, 0
        for match in _NEXT_ONE.finditer(line):
            following = int(match[1])
            if following in numbers and following not in lines and following not in parted:
                parted.setdefault(about, line[start : match.start()].strip())
                about, start = following, match.end()
        parted.setdefault(about, line[start:].strip())
    return {number: line for number, line in parted.items() if line}


def _patterns(physical: list[str], numbers: frozenset[int]) -> tuple[re.Pattern[str], ...]:
    """How the lines of a reply begin. Bare numbers (``17.``) are only taken for images where they
    stand before most of them: an ordered list or a date begins with one too."""
    for patterns in ((_BRACKETS, _WORD), (_NUMBER,)):
        found = {_own(line, patterns)[0] for line in physical} & numbers
        if found and (patterns[0] is _BRACKETS or 2 * len(found) > len(numbers)):
            return patterns
    return ()


def _own(line: str, patterns: tuple[re.Pattern[str], ...]) -> tuple[int | None, str]:
    """(number, text) of a line about one image; (None, "") of any other."""
    for plain in dict.fromkeys((_alike(line), _plain(line))):
        if _SEVERAL.match(plain):
            break
        for pattern in patterns:
            if (match := pattern.match(plain)) is not None:
                said = line[match.start(2) :] if len(plain) == len(line) else match[2]
                return int(match[1]), said.strip(" \t|*_`")
    return None, ""


def _alike(line: str) -> str:
    """``line`` with signs at its beginning that the expressions read, as many as there were."""
    return line[:HEAD].translate(_ALIKE) + line[HEAD:]


def _plain(line: str) -> str:
    """The same, without escapes and tags."""
    return _DRESSED.sub("", line[:HEAD].translate(_ALIKE)) + line[HEAD:]


def _below(physical: list[str], numbers: frozenset[int]) -> list[str]:
    """The lines after the last line about an image and what belongs to it."""
    patterns = _patterns(physical, numbers)
    own = [(at, _own(line, patterns)) for at, line in enumerate(physical)]
    last, has_text = max((at, bool(said)) for at, (number, said) in own if number in numbers)
    for at in range(last + 1, len(physical)):
        line = physical[at]
        if has_text and (not line.strip() or _ends_lines(line)):
            return physical[at:]
        has_text = has_text or bool(line.strip())
    return []


def _answer(text: str) -> str:
    """``text`` without the rule or the word ``Answer:`` before it."""
    kept = text.strip()
    first, newline, others = kept.partition("\n")
    if _RULE.fullmatch(first):
        kept = others.strip() if newline else ""
    match = _HEADING.match(kept)
    return kept[match.end() :].strip() if match else kept
