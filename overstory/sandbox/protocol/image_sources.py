"""Sources of a request's images: data URLs, stored files, and loopback downloads."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient

from overstory.sandbox.account.file_store import FileStore
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.errors import Refusal, wrong_input
from overstory.sandbox.protocol.request import ImagePart
from overstory.sandbox.vision.decode import Decoder, Picture, inline_size

DOWNLOAD_SECONDS = 10.0


class Sources:
    """Fetches the pictures of one account's requests."""

    def __init__(self, files: FileStore, decoder: Decoder, config: SandboxConfig) -> None:
        self._files = files
        self._decoder = decoder
        self._config = config

    async def pictures(self, parts: Sequence[ImagePart]) -> list[Picture]:
        """The pictures of ``parts``, in order.

        Raises Refusal 400 for the first that is not available, or if they are too large in total.
        """
        self._check_size(inline_size([part.url for part in parts]))
        pictures = [await self._picture(part.url) for part in parts]
        self._check_size(sum(picture.size for picture in pictures))
        return pictures

    def _check_size(self, size: int) -> None:
        if size > self._config.max_image_bytes:
            most = self._config.max_image_bytes
            raise wrong_input(f"total image size {size} exceeds the limit of {most} bytes")

    async def _picture(self, url: str) -> Picture:
        if url.startswith("stepfile://"):
            return self._stored(url.removeprefix("stepfile://"))
        if url.startswith("data:"):
            return await self._decoder.decode_inline(url, self._config.strict_mime)
        if url.startswith(("http://", "https://")):
            return await self._decoder.decode(await download(url, self._config))
        raise wrong_input(f"unsupported image url: {url[:60]}")

    def _stored(self, file_id: str) -> Picture:
        file, description = self._files.image(file_id, self._config.unknown_file_status)
        return Picture(file.sha, file.bytes, description)


async def download(url: str, config: SandboxConfig) -> bytes:
    """The bytes at a loopback URL, if the config allows it.

    Raises Refusal 400 otherwise, as the real service does for a URL that it cannot reach.
    """
    if not config.allow_loopback_urls or not _is_loopback(url):
        raise _unreachable(url)
    try:
        client = AsyncHTTPClient()
        reply = await client.fetch(url, request_timeout=DOWNLOAD_SECONDS, follow_redirects=False)
    except Exception as error:  # any server may answer, with anything
        raise _unreachable(url) from error
    return reply.body


def _unreachable(url: str) -> Refusal:
    return Refusal(400, "request_params_invalid", f"cannot download image: {url[:200]}")


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
