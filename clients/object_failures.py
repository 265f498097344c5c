"""What a failed request to somebody's bucket means, and what to do about it.

The texts of the store are never shown: they have the request's URL, with its signature at Azure,
and what the server said, which may repeat a key. Only the name of the error is read from them.
"""

from __future__ import annotations

import os
import re
from enum import Enum, auto
from urllib.parse import urlsplit

from core.errors import ServiceAway
from core.images.objects import ObjectName
from core.text.printable import quotable

_ODD = re.compile(r'[Pp]ath "([^"]*)"')
SHOWN = 200
"""Characters of a location in a message."""
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_TOKEN",
}
ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""The variables that name another endpoint than the vendor's."""
_REGION = re.compile(r"<Region>([a-z0-9-]{4,30})</Region>|s3[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.")


class ObjectAway(ServiceAway):
    """The bucket does not answer, or not now."""


class Failure(Enum):
    """Why a request failed."""

    MISSING = auto()
    CHANGED = auto()
    NO_BUCKET = auto()
    DENIED = auto()
    NO_CREDENTIALS = auto()
    WRONG_CREDENTIALS = auto()
    REGION = auto()
    FROZEN = auto()  # in a class of storage from which it is restored first
    ODD_KEY = auto()  # one that obstore cannot read
    AWAY = auto()  # it may pass


_KINDS = (
    (Failure.CHANGED, ("PreconditionError", "ConditionNotMet", "PreconditionFailed")),
    (Failure.NO_CREDENTIALS, ("//169.254.", "MissingAccount", "token request", "//metadata.goog")),
    (Failure.NO_CREDENTIALS, ("MissingAccessKey", "MissingSecretAccessKey")),
    (Failure.NO_BUCKET, ("NoSuchBucket", "ContainerNotFound", "InvalidBucketName")),
    (Failure.NO_BUCKET, ("specified bucket does not exist",)),
    (Failure.MISSING, ("FileNotFoundError", "NotFoundError")),
    (Failure.WRONG_CREDENTIALS, ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken")),
    (Failure.WRONG_CREDENTIALS, ("ExpiredToken", "AuthenticationFailed", "TokenRefreshRequired")),
    (Failure.REGION, ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocation")),
    (Failure.REGION, ("redirect without LOCATION", "status code: 301")),
    (Failure.FROZEN, ("InvalidObjectState", "BlobArchived")),
    (Failure.DENIED, ("PermissionDenied", "Unauthenticated", "AccessDenied")),
    (Failure.DENIED, ("status code: 401", "status code: 403")),
    (Failure.ODD_KEY, ("InvalidPathError", "Could not parse path")),
)
"""The first row decides of which a part is in the error's class or text."""


def failure_of(class_name: str, text: str) -> Failure:
    told = f"{class_name}: {text}"
    return next(
        (kind for kind, parts in _KINDS if any(part in told for part in parts)), Failure.AWAY
    )


_SENTENCES = {
    Failure.MISSING: "there is no {shown!r}: check the key, or list the folder above it",
    Failure.CHANGED: "the object changed since the job was planned: run the command again",
    Failure.NO_BUCKET: "there is no bucket {bucket!r} at {endpoint}: check its name, and {variable}"
    " if it is at another endpoint",
    Failure.DENIED: "{shown!r} may not be read: give these credentials the right to list and to"
    " read it, or set others ({keys})",
    Failure.NO_CREDENTIALS: "there are no credentials for {bucket!r}: set {keys}",
    Failure.WRONG_CREDENTIALS: "{endpoint} does not accept the credentials for {bucket!r}, or they"
    " have expired: set others ({keys})",
    Failure.REGION: "{bucket!r} is in another region: set {region}",
    Failure.FROZEN: "{shown!r} is in an archive class of the store: restore it first",
    Failure.ODD_KEY: "the key {odd!r} cannot be read: it has an empty part, '.' or '..' between"
    " slashes, or a control character. Rename that object, or name the folders beside it",
    Failure.AWAY: "{endpoint} does not answer for {bucket!r}: check the network and {variable}, and"
    " try again",
}


def sentence(failure: Failure, name: ObjectName, text: str = "") -> str:
    """What happened to a request about ``name``, and what to do. ``text``: of the error, from
    which only a region is taken."""
    found = _REGION.search(text)
    region = next((group for group in found.groups() if group), None) if found else None
    return _SENTENCES[failure].format(
        shown=quotable(name.location, SHOWN),
        bucket=quotable(f"{name.scheme}://{name.bucket}", SHOWN),
        endpoint=endpoint_of(name),
        variable=ENDPOINTS[name.scheme][0],
        keys=CREDENTIALS[name.scheme],
        odd=quotable(odd[1] if (odd := _ODD.search(text)) else name.key, SHOWN),
        region=f"AWS_REGION={region}" if region else "AWS_REGION to the region of the bucket",
    )


def endpoint_of(name: ObjectName) -> str:
    """The host that is asked."""
    for variable in ENDPOINTS[name.scheme]:
        if (url := os.environ.get(variable)) and (host := urlsplit(url).hostname):
            port = urlsplit(url).port
            return f"{host}:{port}" if port else host
    return {"s3": "Amazon S3", "gs": "Google Cloud Storage", "az": "Azure"}[name.scheme]
