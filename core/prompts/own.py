"""A job's own prompt texts, which replace ours: checked at submission, sent unchanged."""

from __future__ import annotations

import string
from collections.abc import Mapping

from core import prompts
from core.errors import WrongUsage

CHARACTERS_MAX = 20_000
"""Of one text: more would take room from images and notes."""
LABEL_CHARACTERS_MAX = 40
"""Of the text that stands before every image."""


def check_own(own: Mapping[str, str]) -> dict[str, str]:
    """The ``own`` texts, stripped, without those equal to ours; keys are names in
    ``prompts.TEXTS``. Raises WrongUsage, which names the file and what is wrong with it."""
    checked = {name: _checked(name, text.strip()) for name, text in own.items()}
    return {name: text for name, text in checked.items() if text != prompts.text(name)}


def placeholders(name: str) -> list[str]:
    """The placeholders of our text ``name``, in its order."""
    return string.Template(prompts.text(name)).get_identifiers()


def words_of(question: str, own: Mapping[str, str]) -> str:
    """The text of a job that every request must have room for."""
    return question + "".join(own.values())


def _checked(name: str, text: str) -> str:
    if name not in prompts.TEXTS:
        known = ", ".join(f"{known}.txt" for known in prompts.TEXTS)
        raise WrongUsage(f"prompts: there is no text {name}.txt; the texts are {known}")
    if not text:
        raise WrongUsage(f"prompts: {name}.txt is empty; remove the file to use the built-in text")
    if len(text) > CHARACTERS_MAX:
        raise WrongUsage(f"prompts: {name}.txt has more than {CHARACTERS_MAX:,} characters")
    if name == "label" and len(text) > LABEL_CHARACTERS_MAX:
        raise WrongUsage(f"prompts: label.txt has more than {LABEL_CHARACTERS_MAX} characters")
    wanted = placeholders(name)
    if wanted:  # texts without placeholders are sent unchanged, with any $ in them
        _check_placeholders(name, string.Template(text), wanted)
    return text


def _check_placeholders(name: str, text: string.Template, wanted: list[str]) -> None:
    if not text.is_valid():
        raise WrongUsage(
            f"prompts: {name}.txt has a $ outside of a placeholder: write $$ for a dollar sign"
        )
    used = text.get_identifiers()
    for placeholder in wanted:
        if placeholder not in used:
            raise WrongUsage(f"prompts: {name}.txt lacks the placeholder ${placeholder}")
    for placeholder in used:
        if placeholder not in wanted:
            known = ", ".join(f"${name}" for name in wanted)
            raise WrongUsage(
                f"prompts: {name}.txt has an unknown placeholder ${placeholder}; the placeholders"
                f" are {known}, and $$ is a dollar sign"
            )
