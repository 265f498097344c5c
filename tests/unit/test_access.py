"""Names, secrets and budgets of access tokens."""

from __future__ import annotations

import io
import logging
import re

import pytest
import structlog

from core.access import check_name, hashed, secret_of, without_secrets
from core.errors import WrongUsage
from core.settings import load
from overstory.doctor.secrets import scrubbed
from workers.logs import configure_logs
from workers.redaction import redacted


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


def test_secrets_are_left_out_of_logs_and_displays() -> None:
    secret = secret_of(bytes(range(32)))
    text = f"curl -H 'Authorization: Bearer {secret}', and again {secret}."
    hidden = "curl -H 'Authorization: Bearer ovs_•••', and again ovs_•••."
    assert without_secrets(text) == scrubbed(text, ()) == hidden
    assert without_secrets("the prefix ovs_ alone") == "the prefix ovs_ alone"
    assert secret not in redacted("overstory.submit", str({"images": [], "label": secret}))
    written = io.StringIO()
    handlers = logging.getLogger().handlers[:]
    try:
        configure_logs(load(), written)
        logging.getLogger("third.party").warning("sent %s", secret)
        structlog.get_logger().warning("asked", header=secret)
    finally:
        logging.getLogger().handlers[:] = handlers
        structlog.reset_defaults()
    assert written.getvalue().count("ovs_•••") == 2
    assert secret not in written.getvalue()
