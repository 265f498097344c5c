"""What monitors show of a task: ids and positions, never the question.

Events contain the text of a task's arguments, and Flower serves it on its pages and API. Other apps
send a whole question in ``overstory.submit``, so the worker replaces that text before the first
event. ``Request`` does this; ``task_annotations`` in workers/app.py names it.
"""

from __future__ import annotations

import ast
from typing import Any

from celery.worker.request import Request as CeleryRequest

from core import stages
from core.access import without_secrets

SUBMIT = stages.SUBMIT.task
SHOWN = ("key", "label", "model", "detail")
"""Fields of a submission that are shown. Inputs are counted, and the question is left out."""


def redacted(name: str, text: object) -> str:
    """A readable line from the text of a task's keyword arguments."""
    try:
        arguments = ast.literal_eval(str(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        return "" if name == SUBMIT else str(text or "")
    return of_submission(arguments) if name == SUBMIT else _line(arguments)


def of_submission(arguments: dict[str, Any]) -> str:
    """``{'inputs': 3, 'key': 'k1'}``: the number of inputs and the fields of SHOWN."""
    images = arguments.get("images")
    inputs = arguments.get("inputs", len(images) if isinstance(images, list) else 0)
    shown = {name: arguments[name] for name in SHOWN if arguments.get(name)}
    return without_secrets(str({"inputs": inputs, **shown}))


LABELS = {"after": "images after", "ready": "images ready:"}
"""Clearer labels for some arguments."""


def _line(arguments: dict[str, Any]) -> str:
    """``job 3f2a, node 12``."""
    return without_secrets(
        ", ".join(
            f"{LABELS.get(name, name)} {value}" for name, value in arguments.items() if value != ""
        )
    )


class Request(CeleryRequest):  # type: ignore[misc]
    """A request whose text for events has no prompt, whatever its sender wrote there.

    Raises TypeError for arguments in a form on which a pool's thread would end without a result.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not (isinstance(self.args, list | None) and isinstance(self.kwargs, dict | None)):
            raise TypeError("a task message has a list and a dict of arguments")
        if self.name == SUBMIT:
            self._argsrepr = "()"
            self._kwargsrepr = of_submission(self._arguments())

    def _arguments(self) -> dict[str, Any]:
        try:
            arguments = self.kwargs
        except Exception:  # the task reports arguments that cannot be decoded when it runs
            return {}
        return arguments if isinstance(arguments, dict) else {}
