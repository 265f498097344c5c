"""Keys and region of a profile in the AWS files, which obstore does not read.

Keys in the environment come first, as in the SDKs of AWS: then no file is looked at.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from core.errors import WrongUsage

NAMES = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "region": "region",
    "endpoint_url": "endpoint",
}
"""A profile's lines that count, and what the store calls them."""
IN_ENVIRONMENT = {
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint": ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3"),
}
OTHERS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
"""With one of these the keys are not those of a profile."""


def profile_config(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """What the profile AWS_PROFILE (or ``default``) says beside the environment.

    Raises WrongUsage if AWS_PROFILE names a profile without keys of its own.
    """
    if any(environ.get(name) for name in OTHERS):
        return {}
    name = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or ""
    credentials = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws/credentials")
    config = Path(environ.get("AWS_CONFIG_FILE") or home / ".aws/config")
    profile = name or "default"
    section = profile if profile == "default" else f"profile {profile}"
    lines = _section(config, section) | _section(credentials, profile)
    if "aws_access_key_id" not in lines:
        if not name:
            return {}
        raise WrongUsage(
            f"the profile {name!r} of AWS_PROFILE has no aws_access_key_id in {credentials}: set"
            " the keys in the environment, as `aws configure export-credentials --format env`"
            " prints them"
        )
    found = {ours: lines[theirs] for theirs, ours in NAMES.items() if lines.get(theirs)}
    return {
        key: value
        for key, value in found.items()
        if not any(environ.get(variable) for variable in IN_ENVIRONMENT.get(key, ()))
    }


def _section(path: Path, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(path.expanduser(), encoding="utf-8")
        return dict(parser.items(name))
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
