"""URLs of a database that name several servers, as libpq writes them."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import ArgumentError

from core.errors import WrongUsage
from models.engine import make_engine, sqlite_file
from models.postgresql import parse_url
from overstory.local.urls import masked, wrong_password


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://u:p@a:5432,b:5433/db?target_session_attrs=any", "a,b", "5432,5433"),
        ("postgres://a,b/db", "a,b", "5432,5432"),
        ("postgresql://u:p%40,x@[::1]:7,[::2]/db", "::1,::2", "7,5432"),
        ("postgresql+psycopg://u@a:1,b:2,c:3?sslmode=require", "a,b,c", "1,2,3"),
    ],
)
def test_several_hosts_are_read(url: str, hosts: str, ports: str) -> None:
    parsed = parse_url(url)
    assert (parsed.query["host"], parsed.query["port"]) == (hosts, ports)
    assert wrong_password(url) is None


def test_user_name_password_and_parameters_stay() -> None:
    parsed = parse_url("postgresql://u:p%2C%40@a,b/db?sslmode=require")
    assert (parsed.username, parsed.password, parsed.database) == ("u", "p,@", "db")
    assert parsed.query["sslmode"] == "require"


def test_a_comma_elsewhere_names_no_second_host() -> None:
    parsed = parse_url("postgresql://u:a,b@h/db?application_name=a,b")
    assert (parsed.host, parsed.password) == ("h", "a,b")


@pytest.mark.parametrize("url", ["postgresql://u@a:x,b/db", "postgresql://u@a,,b/db"])
def test_a_wrong_host_is_refused(url: str) -> None:
    with pytest.raises(ArgumentError, match="HOST:PORT"):
        parse_url(url)


@pytest.mark.parametrize("url", ["postgresql://u@a:x,b/db", "postgresql://u@a:x/db", "nothing"])
def test_what_is_not_a_url_is_a_sentence(url: str) -> None:
    assert sqlite_file(url) is None
    with pytest.raises(WrongUsage, match="several hosts separated by commas"):
        make_engine(url)


def test_the_password_before_several_hosts_is_hidden() -> None:
    shown = masked("postgresql://u:secret@a:1,b:2/db?target_session_attrs=read-write")
    assert "secret" not in shown
    assert "@a:1,b:2/db" in shown
