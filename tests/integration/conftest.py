"""What the integration tests share."""

from tests.integration.account import open_account, valkey

__all__ = ["open_account", "valkey"]
