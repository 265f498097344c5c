"""Parameters of a PostgreSQL connection."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import make_url

from models.engine import Database
from tests.support.postgres import Postgres


def opened_with(url: str) -> dict[str, str]:
    """The parameters of a connection, from its driver."""
    database = Database(url)
    try:
        with database.read() as connection:
            driver: Any = connection.connection.driver_connection
            found: dict[str, str] = driver.info.get_parameters()
            return found
    finally:
        database.dispose()


@pytest.mark.parametrize(
    ("given", "milliseconds"), [({}, "60000"), ({"tcp_user_timeout": "9"}, "9")]
)
def test_a_silently_lost_route_is_detected(
    postgres: Postgres, given: dict[str, str], milliseconds: str
) -> None:
    with postgres.database() as url:
        found = opened_with(
            make_url(url).update_query_dict(given).render_as_string(hide_password=False)
        )
    assert found["tcp_user_timeout"] == milliseconds
    assert found["keepalives_idle"] == "30"
    assert found["connect_timeout"] == "5"
