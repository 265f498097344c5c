"""An XMP packet with what an answer says of a picture: description, title and keywords.

Properties and their forms are those of the XMP specification, part 1 (ISO 16684-1): dc:description
and dc:title are lists of languages, dc:subject is a bag. Photo programs show them as caption, title
and keywords. xmp:CreatorTool is not written: it names the program that made the picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from overstory.export.captions import Caption

_HEAD = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Overstory">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
"""
_TAIL = """\
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
_IMPOSSIBLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document can have, and the carriage return, which readers drop."""


def packet(caption: Caption) -> str:
    """The text of a sidecar file: well-formed XML, whatever the answer holds."""
    parts = [
        _alternatives("dc:description", caption.text),
        _alternatives("dc:title", caption.title),
    ]
    parts.append(_bag("dc:subject", caption.keywords))
    return f"{_HEAD}{''.join(parts)}{_TAIL}"


def _alternatives(name: str, text: str) -> str:
    if not text:
        return ""
    line = f'<rdf:li xml:lang="x-default">{_escaped(text)}</rdf:li>'
    return f"<{name}><rdf:Alt>{line}</rdf:Alt></{name}>\n"


def _bag(name: str, values: Sequence[str]) -> str:
    if not values:
        return ""
    lines = "".join(f"<rdf:li>{_escaped(value)}</rdf:li>" for value in values)
    return f"<{name}><rdf:Bag>{lines}</rdf:Bag></{name}>\n"


def _escaped(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return escape(_IMPOSSIBLE.sub("", lines))
