"""Small files that take a decoder very long, or very much memory. Made here, never committed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

from PIL import Image


def pdf(objects: Sequence[bytes]) -> bytes:
    """A document of ``objects``, numbered from 1; the first is the catalog."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start)
    return bytes(out)


def nested_forms(depth: int = 12, times: int = 10) -> bytes:
    """A page whose form draws another one ``times`` times, and so on: times ** depth forms."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R"
            b" /Resources << /XObject << /F 5 0 R >> >> >>"
        ),
        _stream(b"", b"/F Do"),
    ]
    for level in range(depth):
        below = b"/F Do " * times if level + 1 < depth else b"0 0 9 9 re f"
        resources = b"/Resources << /XObject << /F %d 0 R >> >>" % (6 + level)
        head = b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] "
        objects.append(_stream(head + (resources if level + 1 < depth else b""), below))
    return pdf(objects)


def compressed_twice(megabytes: int = 2_000) -> bytes:
    """A page whose contents are compressed twice, to a thousandth each time."""
    once = _repeated(b"0 0 m " * 170_000, megabytes)
    filters = b"/Filter [/FlateDecode /FlateDecode] "
    return pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R >>",
            _stream(filters, zlib.compress(once, 9)),
        ]
    )


def counted_for_long(megabytes: int) -> bytes:
    """A document whose table of places is compressed twice: to count its pages takes 1 s for each
    50 to 100 ``megabytes``."""
    data = zlib.compress(_repeated(b"\x01\x00\x09\x00" * 250_000, megabytes), 9)
    out = (
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Kids [] /Count 1 >>\nendobj\n"
    )
    head = b"/Type /XRef /Size 3000000 /W [1 2 1] /Root 1 0 R /Filter [/FlateDecode /FlateDecode] "
    table = b"3 0 obj\n%s\nendobj\n" % _stream(head, data)
    return out + table + b"startxref\n%d\n%%%%EOF\n" % len(out)


def wide_png(side: int) -> bytes:
    """A PNG of side x side white pixels in 32 bits, a thousandth of its size in memory."""
    header = struct.pack("!IIBBBBB", side, side, 8, 6, 0, 0, 0)
    row = b"\0" + b"\xff" * (4 * side)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack("!I", len(body)) + name + body + struct.pack("!I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


def innocent() -> bytes:
    """A picture like any other."""
    out = io.BytesIO()
    Image.new("RGB", (300, 200), "teal").save(out, "JPEG")
    return out.getvalue()


def _repeated(block: bytes, times: int) -> bytes:
    """``block`` over and over, compressed, made at once. The checksum is missing."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + packed * times + b"\x03\x00"


def _stream(head: bytes, body: bytes) -> bytes:
    return b"<< %s/Length %d >>\nstream\n%s\nendstream" % (head, len(body), body)
