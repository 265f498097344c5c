"""Inputs in buckets: what they lead to, and what is told where they cannot be used."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from clients.images.decoder import Decoder
from clients.object_failures import ObjectAway
from clients.sources import original
from clients.sources.duplicates import content_twins
from clients.sources.expand import expand
from clients.sources.location import Expansion
from clients.sources.tables import TableRules
from clients.sources.walk import Patience
from core.errors import ImageRefused, InputRefused, WrongUsage
from core.images.inputs import InputRules
from core.images.sizing import DecoderLimits, ImageLimits
from tests.support.bucket import People, bucket, people

__all__ = ["bucket", "people"]


DECODER = Decoder(DecoderLimits())


def found(
    text: str, rules: InputRules | None = None, patience: Patience | None = None
) -> Expansion:
    return expand([text], ImageLimits(), DECODER, rules or InputRules(), patience)


def names(text: str) -> list[str]:
    return [source.name for source in found(text).sources]


def put(people: People, *keys: str) -> None:
    people.objects.update({f"/pics/{quote(key)}": key.encode() for key in keys})


def test_a_folder_is_listed_by_pages_in_natural_order(people: People) -> None:
    put(people, "trip/img10.jpg", "trip/img2.jpg", "trip/a/x.JPG", "trip/B.png", "trip-2/no.jpg")
    assert names("s3://pics/trip/") == ["a/x.JPG", "B.png", "img2.jpg", "img10.jpg"]
    assert names("s3://pics/trip") == names("S3://pics/trip/")
    lists = [asked for asked in people.asked if "list-type" in asked]
    assert len(lists) == 3 * 2  # two pages each time
    (source,) = found("s3://pics/trip/img2.jpg").sources
    assert source.location == "s3://pics/trip/img2.jpg"
    assert (source.bytes, source.changed_ns) == (13, None)
    assert source.version is not None


def test_what_is_left_out_of_a_folder(people: People) -> None:
    put(people, "t/a.jpg", "t/@eaDir/a.jpg", "t/._a.jpg", "t/.hid/a.jpg", "t/n.txt", "t/z.zip")
    people.objects["/pics/t/sub/"] = b""  # stands for a folder
    expansion = found("s3://pics/t/")
    assert [source.name for source in expansion.sources] == ["a.jpg"]
    assert expansion.ignored == ["n.txt", "z.zip"]
    assert sorted(expansion.passed_over) == ["._a.jpg", "@eaDir"]


def test_keys_of_all_kinds_are_listed_and_read(people: People) -> None:
    keys = [
        "sp ace/ü%20 é.jpg",
        "q?x#y&z.jpg",
        "%2e%2e/p+q.jpg",
        "\U0001f600.jpg",
        "l" * 2_000 + ".jpg",
    ]
    put(people, *keys)
    sources = found("s3://pics/").sources
    assert {source.location for source in sources} == {f"s3://pics/{key}" for key in keys}
    for source in sources:
        with original.copied(source.location, None, 9_000, source.version) as path:
            assert path.read_text() == source.location.removeprefix("s3://pics/")
        with pytest.raises(ImageRefused, match="more than the 5 allowed"):
            original.save(source.location, None, path, 5)
    put(people, "l" * 9_000 + ".jpg")
    with pytest.raises(InputRefused, match="longer than 8,192"):
        found("s3://pics/")


def test_patterns(people: People) -> None:
    put(people, "y/1/a.jpg", "y/1/b.png", "y/2/a.jpg", "y/2/deep/a.jpg", "y/a[1].jpg")
    assert names("s3://pics/y/*/*.jpg") == ["1/a.jpg", "2/a.jpg"]
    assert not any("deep" in asked for asked in people.asked)  # nothing below is listed
    assert names("s3://pics/y/**/a.jpg") == ["1/a.jpg", "2/a.jpg", "2/deep/a.jpg"]
    assert names("s3://pics/y/a[1].jpg") == ["a[1].jpg"]  # this very key
    with pytest.raises(WrongUsage, match="matches no images"):
        found("s3://pics/y/*.gif")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s3://no-such/a.jpg", "there is no bucket 's3://no-such' at 127.0.0.1:"),
        ("s3://closed/a.jpg", "'s3://closed/a.jpg' may not be read: give these credentials"),
        ("s3://pics/nothing/", "the folder 's3://pics/nothing/' is empty"),
        ("s3:///a.jpg", "names no bucket"),
        ("s3://pics/a/../b.jpg", r"the key 'a/../b.jpg' cannot be read"),
        ("s3://pics/photos.zip", "is an archive in a bucket"),
    ],
)
def test_what_cannot_be_used_is_told_at_once(people: People, text: str, told: str) -> None:
    put(people, "photos.zip")
    with pytest.raises(WrongUsage, match=told):
        found(text)


def test_a_bucket_that_does_not_answer(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ObjectAway, match=r"127\.0\.0\.1:1 does not answer for 's3://pics'"):
        found("s3://pics/")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:1")
    with pytest.raises(WrongUsage, match="AWS_ENDPOINT_URL: an endpoint is like https://"):
        found("s3://others/")


def test_credentials_that_are_missing(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(WrongUsage, match="no credentials for 's3://pics': set AWS_ACCESS_KEY_ID"):
        found("s3://pics/")


def test_many_objects_are_looked_up_at_the_same_time(people: People) -> None:
    keys = [f"n/{n}.jpg" for n in range(40)]
    put(people, *keys)
    inputs = [f"s3://pics/{key}" for key in reversed(keys)]
    checks: list[None] = []
    expansion = expand(
        [*inputs, "s3://pics/n"],
        *(ImageLimits(), DECODER),
        patience=Patience(),
        check=lambda: checks.append(None),
    )
    assert [source.location for source in expansion.sources][:40] == inputs
    assert len(expansion.sources) == 80
    heads = [asked for asked in people.asked if asked.startswith("HEAD")]
    assert sorted(heads) == sorted({*(f"HEAD /pics/{key}" for key in keys), "HEAD /pics/n"})
    with pytest.raises(InputRefused, match="outside OVERSTORY_INPUT_ROOTS"):
        expand([*inputs, "s3://no-such/x"], ImageLimits(), DECODER, InputRules(("s3://pics",)))


def test_too_many_entries(people: People) -> None:
    put(people, *(f"m/{n}.jpg" for n in range(9)))
    with pytest.raises(InputRefused, match="leads to more than 5 files"):
        found("s3://pics/m/", patience=Patience(entries=5))


def test_a_submission_names_only_buckets_of_the_roots(people: People) -> None:
    put(people, "in/a.jpg", "in2/a.jpg")
    rules = InputRules(("/srv", "s3://pics/in"), private=("s3://pics/in/blobs",))
    for text in ("s3://pics/in2/a.jpg", "s3://pics/", "s3://pics/i*/a.jpg", "gs://pics/in/a.jpg"):
        with pytest.raises(InputRefused, match="outside OVERSTORY_INPUT_ROOTS"):
            found(text, rules)
    for text in ("s3://pics/in/../in2/a.jpg", "s3://pics/in/../*.jpg", "s3://pics/in/./../in2/"):
        with pytest.raises(WrongUsage, match="cannot be read"):
            found(text, rules)
    with pytest.raises(InputRefused, match="where Overstory keeps prepared images"):
        found("s3://pics/in/blobs/ab", rules)
    assert people.asked == []
    put(people, "in/blobs/ab/b.jpg")
    assert [source.name for source in found("s3://pics/in", rules).sources] == ["a.jpg"]


def test_copies_are_known_without_reading_them(people: People) -> None:
    contents = (b"same", b"same", b"diff", b"", b"")
    people.objects |= {f"/pics/d/{n}.jpg": data for n, data in enumerate(contents)}
    sources = found("s3://pics/d/").sources
    people.asked.clear()
    assert content_twins(sources) == {1: 0}
    assert people.asked == []


def test_a_table_in_a_bucket_names_objects_beside_it(people: People) -> None:
    put(people, "lots/a.jpg", "lots/b.jpg", "other/c.jpg")
    people.objects["/pics/lots/list.csv"] = (
        b"file,asset\na.jpg,P-1\ns3://pics/other/c.jpg,P-2\nnone.jpg,P-3\n"
    )
    rules = TableRules("file")
    table = "s3://pics/lots/list.csv"
    found_ = expand([table], ImageLimits(), DECODER, InputRules(), tables=rules).sources
    assert [dict(source.facts or {})["asset"] for source in found_] == ["P-1", "P-2", "P-3"]
    assert [source.location for source in found_[:2]] == [
        "s3://pics/lots/a.jpg",
        "s3://pics/other/c.jpg",
    ]
    before = len(people.asked)
    with pytest.raises(InputRefused, match="outside OVERSTORY_INPUT_ROOTS"):
        expand([table], ImageLimits(), DECODER, InputRules(roots=("/inputs",)), tables=rules)
    assert len(people.asked) == before
    with pytest.raises(WrongUsage, match="cannot be read"):
        expand(["s3://pics/x.csv"], ImageLimits(), DECODER, InputRules(), tables=rules)
