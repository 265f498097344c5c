"""What of a task is shown to people: ids and positions, never what was asked.

The text of a task's arguments travels in events, which Flower keeps and serves on its pages and
its API. Other apps put a whole question into ``overstory.submit``, so its text is made anew by the
worker before the first event; ``Request`` does that, named by ``task_annotations``.
"""

from __future__ import annotations

import ast
from typing import Any

from celery.worker.request import Request as CeleryRequest

SUBMIT = "overstory.submit"
SHOWN = ("key", "label", "model", "detail")
"""Words of a submission that name it. The question and the inputs are only counted."""


def redacted(name: str, text: object) -> str:
    """A line for people from the text of a task's keyword arguments."""
    try:
        given = ast.literal_eval(str(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return "" if name == SUBMIT else str(text or "")
    return of_submission(given) if name == SUBMIT else _line(given)


def of_submission(given: dict[str, Any]) -> str:
    """``{'inputs': 3, 'key': 'k1'}``: how many inputs, and the words that name the job."""
    images = given.get("images")
    counted = given.get("inputs", len(images) if isinstance(images, list) else 0)
    named = {name: given[name] for name in SHOWN if given.get(name)}
    return str({"inputs": counted, **named})


WORDS = {"after": "images after", "ready": "images ready:"}
"""Where an argument's name alone says little."""


def _line(given: dict[str, Any]) -> str:
    """``job 3f2a, node 12``."""
    return ", ".join(
        f"{WORDS.get(name, name)} {value}" for name, value in given.items() if value != ""
    )


class Request(CeleryRequest):  # type: ignore[misc]
    """A request whose text for events holds no prompt, whatever its sender put there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.name == SUBMIT:
            self._argsrepr = "()"
            self._kwargsrepr = of_submission(self._given())

    def _given(self) -> dict[str, Any]:
        try:
            given = self.kwargs
        except Exception:  # what cannot be decoded is refused, with its own message, when it runs
            return {}
        return given if isinstance(given, dict) else {}
