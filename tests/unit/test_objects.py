"""Names in buckets and archives, roots in buckets, and what a failed request means."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.aws_profile import profile_config
from clients.object_failures import Failure, failure_of, sentence
from core.errors import WrongUsage
from core.images.members import MemberName, archive_kind, leads_out, parse_member
from core.images.objects import ObjectName, is_below, is_object, parse_object
from core.settings import load


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("s3://b/a/c.jpg", ("s3", "b", "a/c.jpg")),
        ("S3://b/%20 a?x#y", ("s3", "b", "%20 a?x#y")),
        ("gs://b", ("gs", "b", "")),
        ("az://b/up/../c.jpg", ("az", "b", "up/../c.jpg")),
    ],
)
def test_a_key_is_taken_as_it_is(text: str, name: tuple[str, str, str]) -> None:
    assert is_object(text)
    assert parse_object(text) == ObjectName(*name)


def test_other_texts_are_no_objects() -> None:
    assert not any(map(is_object, ("/s3://b", "https://b/s3://", "s3:b", "file://b", "")))


@pytest.mark.parametrize(
    ("text", "below"),
    [
        ("s3://b/photos/a.jpg", True),
        ("s3://b/photos", True),
        ("s3://b/photos/", True),
        ("s3://b/photos-secret/a.jpg", False),
        ("s3://b/", False),
        ("s3://other/photos/a.jpg", False),
        ("gs://b/photos/a.jpg", False),
        ("gs://whole/any", True),
    ],
)
def test_what_is_in_a_root(text: str, below: bool) -> None:
    roots = ("/photos", "s3://b/photos", "gs://whole")
    assert is_below(parse_object(text), roots) is below


def test_roots_name_folders_and_buckets() -> None:
    told = "/inputs:s3://bucket/photos/:gs://other:/more"
    assert load(input_roots=told).input_roots == (
        *("/inputs", "s3://bucket/photos", "gs://other", "/more"),
    )
    assert load(input_roots=told).submitted_inputs.folders == ("/inputs", "/more")


def test_the_bucket_of_prepared_images_is_private() -> None:
    assert "s3://blobs/all" in load(blob_url="s3://blobs/all").private_folders


@pytest.mark.parametrize(
    ("name", "text", "failure"),
    [
        ("FileNotFoundError", "Object at location a not found", Failure.MISSING),
        ("GenericError", "404 Not Found: <Code>NoSuchBucket</Code>", Failure.NO_BUCKET),
        ("PreconditionError", "412", Failure.CHANGED),
        ("PermissionDeniedError", "status code: 403 Forbidden:", Failure.DENIED),
        ("PermissionDeniedError", "<Code>InvalidAccessKeyId</Code>", Failure.WRONG_CREDENTIALS),
        ("GenericError", "PUT http://169.254.169.254/latest/api/token", Failure.NO_CREDENTIALS),
        ("GenericError", "source: MissingAccessKeyId", Failure.NO_CREDENTIALS),
        ("GenericError", "source: MissingAccount", Failure.NO_CREDENTIALS),
        ("GenericError", "Received redirect without LOCATION", Failure.REGION),
        ("PermissionDeniedError", "403 <Code>InvalidObjectState</Code>", Failure.FROZEN),
        ("InvalidPathError", 'Error parsing Path "a/../b"', Failure.ODD_KEY),
        ("GenericError", "error sending request", Failure.AWAY),
        ("GenericError", "status code: 503 Slow Down", Failure.AWAY),
    ],
)
def test_what_a_failed_request_means(name: str, text: str, failure: Failure) -> None:
    assert failure_of(name, text) is failure


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_failure_is_told_without_the_text_of_the_server(failure: Failure, scheme: str) -> None:
    told = sentence(failure, ObjectName(scheme, "b", "k\x1b[1m"), "https://h/?sig=HIDDEN")
    assert "HIDDEN" not in told
    assert told.isprintable()


def test_a_region_is_told_where_the_server_names_it() -> None:
    name = ObjectName("s3", "b", "")
    assert "AWS_REGION=eu-central-1" in sentence(
        Failure.REGION, name, "<Endpoint>b.s3.eu-central-1.amazonaws.com</Endpoint>"
    )
    assert "AWS_REGION=eu-west-3" in sentence(Failure.REGION, name, "<Region>eu-west-3</Region>")
    assert "AWS_REGION to the region" in sentence(Failure.REGION, name, "<Region>&evil;</Region>")


def test_an_odd_key_is_named() -> None:
    told = sentence(Failure.ODD_KEY, ObjectName("s3", "b", ""), 'parsing Path "up/../z.jpg": x')
    assert "'up/../z.jpg'" in told


# --- profiles

CREDENTIALS = """
[default]
aws_access_key_id = one
aws_secret_access_key = two
[work]
aws_access_key_id = three
aws_secret_access_key = four
aws_session_token = five
[sso]
"""
CONFIG = """
[default]
region = eu-west-1
[profile work]
region = eu-central-1
endpoint_url = https://store.example
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(CREDENTIALS)
    (tmp_path / ".aws/config").write_text(CONFIG)
    return tmp_path


def test_a_profile_gives_keys_and_region(files: Path) -> None:
    default = {"access_key_id": "one", "secret_access_key": "two", "region": "eu-west-1"}
    assert profile_config({}, files) == default
    assert profile_config({"AWS_REGION": "x"}, files).keys() == default.keys() - {"region"}
    assert profile_config({"AWS_PROFILE": "work"}, files) == {
        "access_key_id": "three",
        "secret_access_key": "four",
        "session_token": "five",
        "region": "eu-central-1",
        "endpoint": "https://store.example",
    }


def test_keys_in_the_environment_come_before_a_profile(files: Path) -> None:
    assert profile_config({"AWS_ACCESS_KEY_ID": "k", "AWS_PROFILE": "work"}, files) == {}


def test_a_profile_without_keys_is_refused_and_no_file_is_no_profile(files: Path) -> None:
    with pytest.raises(WrongUsage, match="'sso' of AWS_PROFILE has no aws_access_key_id"):
        profile_config({"AWS_PROFILE": "sso"}, files)
    assert profile_config({}, files / "nowhere") == {}


# --- names in archives


@pytest.mark.parametrize("inner", ["a.jpg", "a/b!/c.jpg", "file-bytes:a", "zip:b!/c"])
def test_the_location_of_a_member_can_be_taken_apart(inner: str) -> None:
    name = MemberName("zip", "/folder/photos.zip", inner)
    assert parse_member(name.location) == name


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.zip", b"PK\x03\x04" + bytes(26) + b"a.jpg", "zip"),
        ("a", b"PK\x05\x06", "zip"),
        ("a.docx", b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", None),
        ("a.odt", b"PK\x03\x04" + bytes(26) + b"mimetype", None),
        ("a", bytes(257) + b"ustar\0", "tar"),
        ("a.TAR", b"old", "tar"),
        ("a.tgz", b"\x1f\x8b\x08", "tar"),
        ("a.tar.xz", b"\xfd7zXZ\0", "tar"),
        ("a.txt", b"text", None),
        ("a", b"", None),
    ],
)
def test_archives_are_known_by_their_first_bytes(name: str, head: bytes, kind: str | None) -> None:
    assert archive_kind(name, head) == kind


def test_names_that_lead_out_of_an_archive() -> None:
    assert all(map(leads_out, ("/etc/passwd", "../a", "a/../../b", "..")))
    assert not any(map(leads_out, ("a/b", "a..b/c", "...", "a")))
