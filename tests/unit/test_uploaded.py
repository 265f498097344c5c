"""Names of uploads: nobody names another one's, and no name leads anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import WrongUsage
from core.images import uploaded
from core.images.uploaded import UploadName, clean_name, folder_name, owned, owner_of, parse_upload

SHA = "ab" * 32
OWNERS = st.text(min_size=1, max_size=64).filter(uploaded.is_owner)


def test_an_input_has_owner_hash_and_name() -> None:
    found = parse_upload(f"upload:web app/{SHA}/trip/a.jpg")
    assert found == UploadName("web app", SHA, "trip/a.jpg")
    assert uploaded.parse_location(found.location) == ("web app", SHA)


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


@given(OWNERS)
def test_a_folder_tells_its_owner(owner: str) -> None:
    assert owner_of(folder_name(owner)) == owner


@given(OWNERS, OWNERS)
def test_owners_differ_also_where_case_does_not(one: str, other: str) -> None:
    assert one == other or folder_name(one).lower() != folder_name(other).lower()


@pytest.mark.parametrize("folder", ["_parts", "A", "..", "a.b", "_zz", "_ff", "a/b", ""])
def test_other_folders_are_nobodys(folder: str) -> None:
    assert owner_of(folder) is None
