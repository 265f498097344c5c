"""Documents: a grammar of broken and hostile ones. Each is drawn or refused with a code.

The counting and the drawing take place in the decoding process, which may die; this one may not.
"""

from __future__ import annotations

import random
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzz.images import LIMITS, refusal
from benchmarks.fuzz.kind import Kind, check
from benchmarks.fuzz.mutations import of_bytes
from clients import local_files
from clients.images.decoder import Decoder
from core.errors import ImageRefused
from core.images.sizing import DecoderLimits
from tests.support import bombs, corpus

DECODING = DecoderLimits(seconds=1.0, memory_bytes=1_500_000_000)
BOMBS = 0.0006
"""The chance of a document that is known to take all the time it may."""

BOXES = (
    *(b"0 0 200 200", b"0 0 612 792", b"0 0 1e9 1e9", b"0 0 14400 14400", b"0 0 0 0", b"0 0 -9 9"),
    *(b"-1e38 -1e38 1e38 1e38", b"0 0 1 100000", b"1 2", b"", b"0 0 (a) 9", b"0 0 nan inf"),
)
OPERATORS = (
    *(
        b"0 0 9 9 re f",
        b"q",
        b"Q",
        b"/F Do",
        b"/G Do",
        b"/I Do",
        b"1 0 0 1 5 5 cm",
        b"0 0 m 9 9 l S",
    ),
    *(b"1e30 w", b"BT /T 12 Tf (a) Tj ET", b"BT /T 1e9 Tf (abc) Tj ET", b"[1 0] 0 d", b"/P sh"),
    *(b"/C cs 1 scn f", b"/E gs", b"BI /W 9 /H 9 /BPC 8 /CS /G ID aaaaaaaaa EI", b"W n", b"9 M"),
    *(b"0 0 1e38 1e38 re f", b"-1 0 0 -1e20 0 0 cm", b"1 0 0 rg", b"(", b"<<", b"]", b"0.0001 w S"),
)
FILTERS = (
    *(b"/FlateDecode", b"[/FlateDecode /FlateDecode]", b"/LZWDecode", b"/ASCII85Decode"),
    *(b"/ASCIIHexDecode", b"/RunLengthDecode", b"[/ASCIIHexDecode /FlateDecode]", b"/DCTDecode"),
    *(
        b"/JPXDecode",
        b"/JBIG2Decode",
        b"/CCITTFaxDecode",
        b"/Crypt",
        b"[" + b"/FlateDecode " * 40 + b"]",
    ),
)
SPLICED = (b"obj", b"endobj", b"stream", b"endstream", b"xref", b"trailer", b"startxref", b"%%EOF")
NUMBERS = (b"0", b"-1", b"1", b"7", b"99999999", b"4294967296", b"9" * 40, b"1.5", b"R", b"null")


@dataclass
class Documents:
    """Through the decoding process."""

    originals: list[bytes]
    path: Path
    decoder: Decoder

    def make(self, draw: random.Random) -> bytes:
        chance = draw.random()
        if chance < BOMBS:
            return draw.choice(KNOWN_BOMBS)(draw)
        document = draw.choice(self.originals) if chance < 0.25 else written(draw)
        for _ in range(draw.choice((0, 0, 1, 2))):
            document = draw.choice((_renumbered, _spliced, _bytes))(draw, document)
        return document

    def run(self, case: bytes) -> str:
        self.path.write_bytes(case)
        try:
            with local_files.opened(self.path, LIMITS.max_file_bytes) as (file, size):
                pages = self.decoder.pages(file, size, LIMITS)
                check(0 <= pages <= LIMITS.max_pages + 1, f"it has {pages} pages")
                drawn = self.decoder.prepare(file, size, detail="low", limits=LIMITS, page=1)
        except ImageRefused as refused:
            return refusal(refused)
        check(max(drawn.width, drawn.height) <= 728, f"it has {drawn.width} x {drawn.height}")
        return "drawn"


def _bytes(draw: random.Random, document: bytes) -> bytes:
    return of_bytes(draw, document, document[::-1]) if document else document


def _renumbered(draw: random.Random, document: bytes) -> bytes:
    """Other numbers replace some: a length, a place in the table, a reference."""
    parts = document.split(b" ")
    places = [at for at, part in enumerate(parts) if part.strip().isdigit()]
    for at in draw.sample(places, min(len(places), draw.choice((1, 2, 5)))):
        parts[at] = draw.choice(NUMBERS)
    return b" ".join(parts)


def _spliced(draw: random.Random, document: bytes) -> bytes:
    """A keyword taken out, doubled or put elsewhere."""
    word = draw.choice(SPLICED)
    if draw.random() < 0.5:
        return document.replace(word, draw.choice((b"", word * 2, draw.choice(SPLICED))), 1)
    at = draw.randrange(len(document) + 1)
    return document[:at] + word + document[at:]


# --- a document of our own


def written(draw: random.Random) -> bytes:
    """A document whose objects refer to each other by chance."""
    pages = draw.choice((1, 1, 1, 2, 3))
    first_form = 3 + pages
    forms = draw.choice((1, 2, 3, 6))
    last = first_form + forms
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d %s>>"
        % (
            b" ".join(b"%d 0 R" % _kid(draw, 3 + page) for page in range(pages)),
            draw.choice((pages, pages, pages, 0, -1, 99, 2**31)),
            draw.choice((b"", b"", b"/Parent 2 0 R ")),
        ),
    ]
    objects += [_page(draw, first_form, last) for _ in range(pages)]
    objects += [_form(draw, first_form, last) for _ in range(forms)]
    return bombs.pdf(objects)


def _page(draw: random.Random, first: int, last: int) -> bytes:
    return (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Rotate %d /UserUnit %d"
        b" /Contents %d 0 R /Resources %s >>"
    ) % (
        BOXES[0] if draw.random() < 0.7 else draw.choice(BOXES),
        draw.choice((0, 0, 90, 45, -90, 10**9)),
        draw.choice((1, 1, 1, 100, 0, -1)),
        draw.randrange(first, last),
        _resources(draw, first, last),
    )


def _kid(draw: random.Random, page: int) -> int:
    """Mostly the page; now and then the tree itself, so that it has a circle."""
    return page if draw.random() < 0.95 else 2


def _resources(draw: random.Random, first: int, last: int) -> bytes:
    names = (b"F", b"G", b"I")
    forms = b" ".join(b"/%s %d 0 R" % (name, draw.randrange(first, last + 1)) for name in names)
    return (
        b"<< /XObject << %s >>"
        b" /Font << /T << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
        b" /ExtGState << /E << /ca %s /SMask << /S /Luminosity /G %d 0 R >> >> >>"
        b" /Pattern << /P << /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1]"
        b" /XStep %s /YStep 0.01 >> >> >>"
    ) % (forms, draw.choice((b"1", b"0.5", b"9")), first, draw.choice((b"1", b"1e-9", b"0")))


def _form(draw: random.Random, first: int, last: int) -> bytes:
    lines = [draw.choice(OPERATORS) for _ in range(draw.choice((1, 2, 4, 8)))]
    body = b"\n".join(lines)
    packed = draw.choice((b"", b"", b"/FlateDecode", draw.choice(FILTERS)))
    if packed.startswith((b"/FlateDecode", b"[/FlateDecode")):
        for _ in range(packed.count(b"/FlateDecode")):
            body = zlib.compress(body)
    is_picture = draw.random() < 0.2
    head = (
        b"/Type /XObject /Subtype /Image /Width %s /Height 9 /BitsPerComponent 8 /ColorSpace"
        b" /DeviceRGB " % draw.choice((b"9", b"99999", b"0", b"-1"))
        if is_picture
        else b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Resources %s "
        % _resources(draw, first, last)
    )
    filtered = b"/Filter %s " % packed if packed else b""
    length = len(body) if draw.random() < 0.9 else draw.choice((0, 10**9, -1))
    return b"<< %s%s/Length %d >>\nstream\n%s\nendstream" % (head, filtered, length, body)


KNOWN_BOMBS = (
    lambda draw: bombs.nested_forms(draw.choice((6, 12, 30)), draw.choice((10, 100))),
    lambda draw: bombs.compressed_twice(draw.choice((20, 2_000))),
    lambda draw: bombs.counted_for_long(draw.choice((20, 2_000))),
)


@contextmanager
def opened() -> Iterator[Documents]:
    plain = [
        corpus.pdf_of("/MediaBox [0 0 200 200]"),
        corpus.pdf_of("/MediaBox [0 0 200 200]", pages=3),
        corpus.pdf_of("/MediaBox [0 0 200 200]", locked=True),
        bombs.nested_forms(3, 3),
        bombs.compressed_twice(1),
        bombs.counted_for_long(1),
    ]
    with tempfile.TemporaryDirectory() as folder:
        yield Documents(plain, Path(folder) / "mutated.pdf", Decoder(DECODING))


KIND = Kind("pdf", 8_000, opened, wall_seconds=60.0)
