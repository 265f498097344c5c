"""Names of uploads: nobody names another one's, and no name leads anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import WrongUsage
from core.images import uploaded
from core.images.uploaded import UploadName, clean_name, owned, parse_upload

SHA = "ab" * 32


def test_an_input_has_owner_hash_and_name() -> None:
    found = parse_upload(f"upload:web-app/{SHA}/trip/a.jpg")
    assert found == UploadName("web-app", SHA, "trip/a.jpg")
    assert uploaded.parse_location(found.location) == ("web-app", SHA)


@pytest.mark.parametrize(
    "text",
    ["upload:", f"upload:{SHA}", f"upload:/{SHA}/a", f"upload:x/{SHA[1:]}/a", "upload:x/../../a",
     f"upload:x/{SHA.upper()}/a", f"upload:{'x' * 65}/{SHA}/a", f"upload:a\nb/{SHA}/a"],
)  # fmt: skip
def test_other_texts_are_no_uploads(text: str) -> None:
    with pytest.raises(WrongUsage, match="upload:OWNER/SHA256/NAME"):
        parse_upload(text)


def test_what_a_caller_names_is_the_callers_own() -> None:
    assert owned(f"upload:{SHA}/a.jpg", "me") == f"upload:me/{SHA}/a.jpg"
    # the hash of another person's upload as the name leads to the caller's own area, too
    assert parse_upload(owned(f"upload:{SHA}/{SHA}/a.jpg", "me")).owner == "me"


@pytest.mark.parametrize("text", [f"upload:other/{SHA}/a.jpg", "upload:../x", f"upload:/{SHA}/a"])
def test_a_caller_cannot_name_an_owner(text: str) -> None:
    with pytest.raises(WrongUsage, match="not an upload of yours"):
        owned(text, "me")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../etc/passwd", "etc/passwd"), ("/a//b/./c.jpg", "a/b/c.jpg"), (r"..\a.jpg", r"..\a.jpg"),
     ("", "image"), ("..", "image"), ("a\x1b[31m\0.jpg", r"a\x1b[31m\x00.jpg")],
)  # fmt: skip
def test_names_are_printable_and_relative(name: str, shown: str) -> None:
    assert clean_name(name) == shown


@given(st.text())
def test_a_clean_name_stays_as_it_is(name: str) -> None:
    assert clean_name(clean_name(name)) == clean_name(name)


def test_a_long_name_is_cut() -> None:
    assert len(clean_name("x" * 5_000)) < 600


@pytest.mark.parametrize("owner", ["_parts", "A", "..", "a.b", "a/b", "", "x" * 41])
def test_a_name_that_no_token_has_is_nobodys_folder(owner: str) -> None:
    assert not uploaded.is_owner(owner)
