"""A minimal S3: single objects and parts, ranges, conditions, lists by pages, presigned PUTs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from clients import objects as people_objects

PAGE = 3
"""Keys of one page of a list: most lists have several."""
MOMENT = "Mon, 23 Nov 2026 13:00:00 GMT"


class Bucket(BaseHTTPRequestHandler):
    """Requests must be signed, in a header or in the query. ``objects``: by the path of their URL.
    ``asked``: each request. ``parts``: of uploads under way. A bucket whose name
    begins with ``no-`` does not exist, one that begins with ``closed`` may not be read."""

    objects: dict[str, bytes]
    asked: list[str]
    parts: dict[str, dict[int, bytes]]
    log: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_signed():
            return self._say(403, b"<Error><Code>AccessDenied</Code></Error>")
        if "uploadId" in self._query:
            self.parts[self._path][int(self._query["partNumber"][0])] = body
        else:
            self.objects[self._path] = body
        return self._say(200, ETag=etag(body))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "uploads" in self._query:
            self.parts[self._path] = {}
            body = b"<InitiateMultipartUploadResult><UploadId>1</UploadId>"
            return self._say(200, body + b"</InitiateMultipartUploadResult>")
        parts = self.parts.pop(self._path)
        self.objects[self._path] = b"".join(parts[number] for number in sorted(parts))
        body = b'<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>'
        return self._say(200, body)

    def do_GET(self) -> None:
        some = self.headers.get("Range", "")
        self.asked.append(f"{self.command} {unquote(self.path)} {some}".rstrip())
        if self._path.startswith("/no-"):
            return self._say(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if self._path.startswith("/closed"):
            return self._say(403, b"<Error><Code>AccessDenied</Code></Error>")
        if "list-type" in self._query:
            return self._say(200, self._listing().encode())
        found = self.objects.get(self._path)
        if found is None:
            return self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")
        moment = {"Last-Modified": MOMENT}
        if self.headers.get("If-Match", etag(found)) != etag(found):
            return self._say(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        if asked := self.headers.get("Range"):
            first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            if first >= len(found):
                return self._say(416, b"<Error><Code>InvalidRange</Code></Error>")
            piece = found[first : last + 1]
            where = f"bytes {first}-{first + len(piece) - 1}/{len(found)}"
            return self._say(206, piece, ETag=etag(found), **{"Content-Range": where}, **moment)
        return self._say(200, found, ETag=etag(found), **moment)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.objects.pop(self._path, None)
        self._say(204)

    @property
    def _path(self) -> str:
        return urlsplit(self.path).path

    @property
    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _is_signed(self) -> bool:
        by_header = self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256")
        return by_header or "X-Amz-Signature" in self._query

    def _listing(self) -> str:
        above = f"{self._path.rstrip('/')}/"
        prefix = self._query.get("prefix", [""])[0]
        after = self._query.get("continuation-token", [""])[0]
        levels = "delimiter" in self._query
        rows: dict[str, str] = {}
        for path, data in self.objects.items():
            key = unquote(path.removeprefix(above))
            if not path.startswith(above) or not key.startswith(prefix):
                continue
            folder, slash, _ = key.removeprefix(prefix).partition("/")
            if levels and slash:
                common = f"{prefix}{folder}/"
                rows[common] = f"<CommonPrefixes><Prefix>{escape(common)}</Prefix></CommonPrefixes>"
            else:
                rows[key] = (
                    f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
                    f"<LastModified>2026-11-23T13:00:00.000Z</LastModified>"
                    f"<ETag>{escape(etag(data))}</ETag></Contents>"
                )
        keys = sorted(key for key in rows if key > after)
        page, more = keys[:PAGE], len(keys) > PAGE
        told = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        if more:
            told += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        return f"<ListBucketResult>{told}{''.join(rows[key] for key in page)}</ListBucketResult>"

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def log_message(self, *_: object) -> None:
        pass


def etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


@dataclass
class People:
    """Somebody's buckets: the objects by path, and what was asked for."""

    objects: dict[str, bytes]
    asked: list[str]


@pytest.fixture
def people(bucket: dict[str, bytes]) -> People:
    """The same server as ``bucket``, with its requests."""
    return People(bucket, Bucket.log)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The objects of a bucket that the AWS_* variables lead to, by path."""
    objects: dict[str, bytes] = {}
    Bucket.log.clear()
    people_objects._bucket.cache_clear()  # it knows the port of another test
    kept = {"objects": objects, "parts": {}, "asked": Bucket.log}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Bucket,), kept))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield objects
    server.shutdown()
    thread.join()
    server.server_close()
