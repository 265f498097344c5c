"""A job's own prompt texts in the place of ours: checked when it is submitted, sent as they are."""

from __future__ import annotations

import string
from collections.abc import Mapping

from core import prompts
from core.errors import WrongUsage

CHARACTERS_MAX = 20_000
"""Of one text: more would take the room of images and notes."""


def check_own(own: Mapping[str, str]) -> dict[str, str]:
    """``own`` texts by the names in ``prompts.TEXTS``, stripped, without those that are ours word
    for word. Raises WrongUsage naming the file and what is wrong with it."""
    checked = {name: _checked(name, text.strip()) for name, text in own.items()}
    return {name: text for name, text in checked.items() if text != prompts.text(name)}


def placeholders(name: str) -> list[str]:
    """What is filled into the text called ``name``, in the order of our text."""
    return string.Template(prompts.text(name)).get_identifiers()


def words_of(question: str, own: Mapping[str, str]) -> str:
    """What a job brings of its own that every request must have room for."""
    return question + "".join(own.values())


def _checked(name: str, text: str) -> str:
    if name not in prompts.TEXTS:
        known = ", ".join(f"{known}.txt" for known in prompts.TEXTS)
        raise WrongUsage(f"prompts: there is no text {name}.txt; there are {known}")
    if not text:
        raise WrongUsage(f"prompts: {name}.txt is empty; leave the file out to keep ours")
    if len(text) > CHARACTERS_MAX:
        raise WrongUsage(f"prompts: {name}.txt has more than {CHARACTERS_MAX:,} characters")
    wanted = placeholders(name)
    if wanted:  # the others are sent as they are: a dollar in them is a dollar
        _check_placeholders(name, string.Template(text), wanted)
    return text


def _check_placeholders(name: str, text: string.Template, wanted: list[str]) -> None:
    if not text.is_valid():
        raise WrongUsage(f"prompts: {name}.txt has a $ that begins no placeholder: write $$ for it")
    found = text.get_identifiers()
    for placeholder in wanted:
        if placeholder not in found:
            raise WrongUsage(f"prompts: {name}.txt lacks the placeholder ${placeholder}")
    for placeholder in found:
        if placeholder not in wanted:
            there = ", ".join(f"${known}" for known in wanted)
            raise WrongUsage(
                f"prompts: {name}.txt has a placeholder ${placeholder} that nothing fills in; there"
                f" are {there}, and $$ is a dollar sign"
            )
