"""Names, secrets and budgets of access tokens."""

from __future__ import annotations

import re

import pytest

from core.access import check_name, hashed, secret_of
from core.errors import WrongUsage


@pytest.mark.parametrize("name", ["lab", "lab-2", "7", "a" * 40])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "Lab", "-lab", "lab 2", "lab_2", "a" * 41, "local", "läb"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(WrongUsage, match="NAME"):
        check_name(name)


def test_a_secret_is_known_by_its_beginning_and_kept_as_its_hash() -> None:
    secret = secret_of(bytes(range(32)))
    assert re.fullmatch(r"ovs_[A-Za-z0-9_-]{43}", secret)
    assert re.fullmatch(r"[0-9a-f]{64}", hashed(secret))
    assert hashed(secret) != hashed(secret_of(bytes(32)))
    assert hashed("\udc80")  # headers may hold any bytes
