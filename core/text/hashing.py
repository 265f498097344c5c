"""The hash that identifies values: SHA-256 of canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def content_key(parts: Sequence[object]) -> str:
    """SHA-256 of the canonical JSON of ``parts``, in hex."""
    canonical = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
