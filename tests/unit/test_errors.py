"""Errors cross process borders whole, and always have words for a person."""

from __future__ import annotations

import pickle

import pytest

from core import errors
from core.errors import LimitKind, OverstoryError, RefusalCode
from core.reply import Reply, Usage

REPLY = Reply("text", "", "stop", Usage(1, 2, 3), "trace", "m")
ARGUMENTS = {
    "ImageRefused": (RefusalCode.CORRUPT, "the decoder gave up"),
    "RequestRefused": (451, "censorship_blocked", "no", True, REPLY),
    "SlowDown": (LimitKind.RPM, 10, "rate limited", 1.5),
    "ProviderDown": ("503", True, 503),
    "FileGone": ("no such file", "file-1"),
    "ReplyUnusable": ("no_choices", "it has no choices", REPLY),
}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, OverstoryError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling_with_all_it_carries(kind):
    error = kind(*ARGUMENTS.get(kind.__name__, ("in short",)))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, vars(again)) == (kind, error.args, vars(error))
    assert str(again) == str(error) != ""


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.__name__ not in ARGUMENTS], ids=lambda k: k.__name__
)
def test_an_error_without_words_shows_its_docstring(kind):
    assert str(kind()) == kind.__doc__.strip().splitlines()[0]
    assert str(kind("in short")) == "in short"
