"""The keys of the proxy. LiteLLM loads this file in its own environment; ours has no LiteLLM.

Keys and their limits are read from a file for each request, so a budget can be raised meanwhile.
Keys that LiteLLM itself keeps need a database of its own.
"""

import json
import os
from pathlib import Path

from litellm.proxy._types import ProxyException, UserAPIKeyAuth

KEYS = Path(os.environ["PROXY_KEYS"])


async def authenticate(request: object, api_key: str) -> UserAPIKeyAuth:
    """Raises ProxyException, with LiteLLM's own words, for a key that is not in the file."""
    limits = json.loads(KEYS.read_text(encoding="utf-8")).get(api_key)
    if limits is None:
        words = "Authentication Error, Invalid proxy server token passed."
        raise ProxyException(words, "auth_error", "key", 401)
    return UserAPIKeyAuth(api_key=api_key, token=api_key, **limits)
