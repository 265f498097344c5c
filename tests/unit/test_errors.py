"""Errors survive pickling between processes, and always have a message."""

from __future__ import annotations

import pickle

import pytest

from core import errors
from core.errors import LimitKind, OverstoryError, RefusalCode, RequestRefused
from core.reply import Reply, Usage

REPLY = Reply("text", "", "stop", Usage(1, 2, 3), "trace", "m")
ARGUMENTS = {
    "ImageRefused": (RefusalCode.CORRUPT, "the decoder gave up"),
    "TooMuch": (400, "images_too_many", "at most 5", "images", 5),
    "FormRefused": (400, "unsupported", "no max_tokens", "completion_tokens", None),
    "RequestRefused": (451, "censorship_blocked", "no", True, REPLY),
    "EndpointRefused": (404, "model_not_found", "no such model", False, REPLY),
    "SlowDown": (LimitKind.RPM, 10, "rate limited", 1.5),
    "ProviderDown": ("503", True, 503, True),
    "FileGone": ("no such file", "file-1"),
    "ReplyUnusable": ("no_choices", "it has no choices", REPLY, True),
}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, OverstoryError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling_with_all_its_fields(kind):
    error = kind(*ARGUMENTS.get(kind.__name__, ("in short",)))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, vars(again)) == (kind, error.args, vars(error))
    assert str(again) == str(error) != ""


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.__name__ not in ARGUMENTS], ids=lambda k: k.__name__
)
def test_an_error_without_a_message_shows_its_docstring(kind):
    assert str(kind()) == kind.__doc__.strip().splitlines()[0]
    assert str(kind("in short")) == "in short"


@pytest.mark.parametrize("status", [301, 302, 307, 404, 405, 407, 410, 426, 431])
def test_a_status_that_any_request_would_get_does_not_blame_the_content(status):
    assert not RequestRefused(status, "", "").of_content


@pytest.mark.parametrize(
    ("status", "moderation"),
    [(400, False), (413, False), (415, False), (422, False), (451, True), (200, True)],
)
def test_a_status_about_the_request_blames_the_content(status, moderation):
    assert RequestRefused(status, "", "", moderation).of_content
