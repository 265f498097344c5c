"""A leaf's attempts, step by step: what follows a reply, and what is recorded of it."""

from __future__ import annotations

import json
from typing import Any

from core.reply import Reply, Usage
from core.requests.leaf import Leaf, LeafAttempt
from core.requests.review import Accepted, AskAgain, LeafImages


def reply(value: Any, finish: str = "stop") -> Reply:
    """``value``: the text of the reply, or what it holds as JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    return Reply(text, "", finish, Usage(0, 0, 0), None, "m")


def again(asked: Leaf, attempt: LeafAttempt, value: Any, finish: str = "stop") -> LeafAttempt:
    """The attempt that follows a reply."""
    result = asked.review(attempt, reply(value, finish))
    assert isinstance(result, AskAgain), result
    return result.attempt


def accepted(asked: Leaf, attempt: LeafAttempt, value: Any, finish: str = "stop") -> Accepted:
    result = asked.review(attempt, reply(value, finish))
    assert isinstance(result, Accepted), result
    return result


def images_of(result: Accepted) -> LeafImages:
    assert result.images is not None
    return result.images
