"""What a job says about its images, held against what the model truly saw of them.

The sandbox's ledger has for each call the images that were sent and those that the model saw. Cards
have sizes of their own, and the sandbox's model begins what it writes about an image with the
image's size. So a line about another image, or an invented one, is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Picture
from sqlalchemy import select

from core.states import ImageStatus, NodeKind, NodeStatus
from models.engine import Database
from models.tables import Image, Node

Line = Mapping[str, Any]
"""A line of the sandbox's ledger."""
CARDS_A_ROW = 20
POSITIONS_SHOWN = 10


def make_cards(folder: Path, count: int, first: int = 1) -> Path:
    """``count`` cards in ``folder``, each of a colour and a size of its own."""
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        size = (256 + number % CARDS_A_ROW, 192 + number // CARDS_A_ROW)
        colour = (number * 37 % 256, number * 91 % 256, number * 13 % 256)
        Picture.new("RGB", size, colour).save(folder / f"card{number:04}.jpg")
    return folder


def image_calls(ledger: Sequence[Line]) -> list[Line]:
    """The calls that showed images, as they were admitted. Refused ones are not among them."""
    return [line for line in ledger if line["event"] == "start" and line["images"]]


def refused(ledger: Sequence[Line]) -> int:
    """How many calls were refused, for whatever reason."""
    return sum(line["event"] == "reply" and line["status"] != 200 for line in ledger)


def truly_seen(ledger: Sequence[Line]) -> set[str]:
    """Hashes of the images that the model saw in a call that was answered."""
    answered = {line["id"] for line in ledger if line["event"] == "reply" and line["status"] == 200}
    return {sha for call in image_calls(ledger) if call["id"] in answered for sha in call["seen"]}


def findings(database: Database, job: str, ledger: Sequence[Line]) -> list[str]:
    """What the job claims without the truth of it, a sentence each. Empty if all is right."""
    with database.read() as connection:
        images = connection.execute(select(Image.__table__).where(Image.job_id == job)).all()
        nodes = connection.execute(select(Node.__table__).where(Node.job_id == job)).all()
    seen = truly_seen(ledger)
    tree = _Tree({node.id: node for node in nodes})
    included = [image for image in images if image.status == ImageStatus.INCLUDED]
    wrong = {
        "included, but the model never saw it": [i for i in included if i.sha256 not in seen],
        "included, but nothing says how it was seen": [i for i in included if not i.seen],
        "its line is about something else": [i for i in included if not _is_its_own(i)],
        "included, but not in the tree of answers": [i for i in included if not tree.holds(i)],
    }
    return [
        f"{sentence}: {sorted(image.position for image in found)[:POSITIONS_SHOWN]}, {len(found)}"
        for sentence, found in wrong.items()
        if found
    ]


def _is_its_own(image: Any) -> bool:
    """Whether an image's line or answer is about it. Where there is neither, nothing is claimed."""
    said = image.note or image.answer
    return said is None or str(said).startswith(f"{image.width}x{image.height} ")


@dataclass(frozen=True)
class _Tree:
    nodes: Mapping[int, Any]

    def holds(self, image: Any) -> bool:
        """Whether a finished leaf has a text on ``image``, and all above that leaf is finished."""
        path = list(self._path(image.node_id))
        leaf = path[0]
        is_told = len(path) == 1 or f"[{image.position}]" in (leaf.text or "")
        return (
            is_told
            and leaf.kind == NodeKind.LEAF
            and all(node.status == NodeStatus.DONE and node.text for node in path)
        )

    def _path(self, node_id: int | None) -> Iterator[Any]:
        """The node and all above it, the root last."""
        while node_id is not None:
            yield self.nodes[node_id]
            node_id = self.nodes[node_id].parent_id
