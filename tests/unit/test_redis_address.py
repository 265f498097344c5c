"""How the URL of a Redis is read, and what is said of one that cannot be."""

from __future__ import annotations

import pytest

from core.redis_address import RedisAddress, Tls, parse

UNVERIFIED = Tls("none", check_hostname=False)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", RedisAddress((("127.0.0.1", 6379),))),
        ("redis://host", RedisAddress((("host", 6379),))),
        (" REDIS://host:1/2 ", RedisAddress((("host", 1),), database=2)),
        ("redis://[::1]:7/2", RedisAddress((("::1", 7),), database=2)),
        ("redis://host?db=3&socket_timeout=5", RedisAddress((("host", 6379),), database=3)),
        ("redis://:p%2Fw@h/0", RedisAddress((("h", 6379),), password="p/w")),
        ("redis://:odd@word@h/0", RedisAddress((("h", 6379),), password="odd@word")),
        ("redis://u:p@h/0", RedisAddress((("h", 6379),), username="u", password="p")),
        ("rediss://h", RedisAddress((("h", 6379),), tls=Tls())),
        ("rediss://h?ssl_cert_reqs=CERT_REQUIRED", RedisAddress((("h", 6379),), tls=Tls())),
        ("rediss://h?ssl_cert_reqs=optional", RedisAddress((("h", 6379),), tls=Tls("optional"))),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", RedisAddress((("h", 6379),), tls=UNVERIFIED)),
        (
            "rediss://h?ssl_cert_reqs=none&ssl_check_hostname=true",
            RedisAddress((("h", 6379),), tls=UNVERIFIED),
        ),
        (
            "rediss://h?ssl_ca_certs=/a%20b/c.pem&ssl_check_hostname=false",
            RedisAddress((("h", 6379),), tls=Tls(ca_certs="/a b/c.pem", check_hostname=False)),
        ),
        ("unix:///a/b.sock?db=1", RedisAddress(path="/a/b.sock", database=1)),
        ("redis+socket:///a%3Fb.sock?virtual_host=1", RedisAddress(path="/a?b.sock", database=1)),
        (
            "sentinel://:pw@a,b:2/1?master_name=m",
            RedisAddress((("a", 26379), ("b", 2)), password="pw", database=1, master_name="m"),
        ),
        (
            "sentinel://a:1/1;sentinel://b:2/1?master_name=m&ssl=true&sentinel_password=s",
            RedisAddress(
                (("a", 1), ("b", 2)),
                database=1,
                tls=Tls(),
                master_name="m",
                sentinel_password="s",
            ),
        ),
    ],
)
def test_an_address_is_read_and_written_again(url: str, address: RedisAddress) -> None:
    assert parse(url) == address
    assert parse(address.url()) == address
    other = address.with_database(5)
    assert parse(other.url()) == other


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("localhost:6379", "it is not a URL: write redis://HOST:6379/0"),
        ("amqp://guest:hunter2@host//", "amqp:// is RabbitMQ, and it cannot be used"),
        ("pyamqp://", "RabbitMQ"),
        ("sqs://", "Amazon SQS"),
        ("memory://", "memory:// cannot be used"),
        ("http://h:6379", "a web server"),
        ("valkeys://h", "write rediss:// for a Valkey"),
        ("redis://h:port/0", "its port is not a number"),
        ("redis://h:99999/0", "its port is not a number"),
        ("redis://h/broker", "its database is not a number"),
        ("redis://h/-1", "its database is not a number"),
        ("redis://h?ssl_ca_certs=a", "write rediss:// instead of redis://"),
        ("rediss://h?ssl_ca_cert=a", "its option ssl_ca_cert is unknown; known are"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs=maybe is unknown"),
        ("rediss://h?ssl_check_hostname=2", "ssl_check_hostname is true or false"),
        ("unix://", "it names no socket"),
        ("sentinel://h:26379/0", "end it with ?master_name=NAME"),
        ("redis://[::1/0", "it cannot be read"),
    ],
)
def test_what_cannot_be_read_is_explained(url: str, word: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(url)
    assert word in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_celery_gets_a_url_that_verifies() -> None:
    assert parse("rediss://h").celery_url() == (
        "rediss://h:6379/0?ssl_cert_reqs=required&ssl_check_hostname=true"
    )
    sentinels = parse("sentinel://a:1,b:2/3?master_name=m")
    assert sentinels.celery_url() == "sentinel://a:1/3;sentinel://b:2/3"
