"""The ports of the dashboard and of the API of ``overstory up``."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.errors import WrongUsage
from core.settings import load
from overstory.commands.service import up
from overstory.local.supervisor import PortWanted, Supervisor


def test_a_port_that_was_asked_for_and_is_taken_is_refused_before_anything_starts(
    home: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WrongUsage, match=f"{port} is taken"):
            Supervisor(load(), PortWanted("flower", port, given=True), None).run()
    assert not list((home / "logs").iterdir())


def test_another_port_is_used_when_none_was_requested() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert PortWanted("flower", port).free() not in (0, port)


def test_an_invalid_port_number_is_wrong_usage() -> None:
    done = CliRunner().invoke(up, ["--flower-port", "99999"])
    assert done.exit_code == 2
    assert "99999 is not in the range" in done.output
