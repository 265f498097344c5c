"""``overstory tree``: the summary tree of one job."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click
from rich.text import Text
from rich.tree import Tree

from core.states import NodeKind
from models.reads import inspect, parts
from models.reads.inspect import ImageLine, NodeLine
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option, json_option
from overstory.output.plural import pluralize
from overstory.output.tables import clipped, coloured, print_json_array, stdout_console, values
from overstory.output.terminal import safe, safe_line

TEXT_WIDTH, TEXT_READ = 90, 400
"""Characters of a node's text that are shown, and that are read for it: white space is left out."""
Children = defaultdict[int | None, list[NodeLine]]
Images = defaultdict[int | None, list[ImageLine]]


@click.command()
@job_argument
@click.option("--images", "with_images", is_flag=True, help="Show the images of each leaf too.")
@json_option
@home_option
def tree(job: str, with_images: bool, as_json: bool, home: Path | None) -> None:
    """Show a job's summary tree, with text and cost of each node."""
    _, database, row = find_job(job, home)
    if as_json:
        print_json_array(map(values, parts.nodes_in_pages(database, row.id)))
        return
    with database.read() as connection:
        nodes = inspect.nodes(connection, row.id, text_most=TEXT_READ)
        images = inspect.images(connection, row.id) if with_images else []
    if row.comparing:
        click.echo("no tree yet: it is planned when similar images were left out")
    children: Children = defaultdict(list)
    for node in nodes:
        children[node.parent_id].append(node)
    images_of: Images = defaultdict(list)
    for image in images:
        images_of[image.node_id].append(image)
    for root in children[None]:
        drawn = Tree(_label(root), guide_style="dim")
        _add_children(drawn, root, children, images_of)
        stdout_console().print(drawn, soft_wrap=True)


def _add_children(drawn: Tree, node: NodeLine, children: Children, images_of: Images) -> None:
    for child in children[node.id]:
        _add_children(drawn.add(_label(child)), child, children, images_of)
    for image in images_of[node.id]:
        drawn.add(Text.assemble(f"[{image.position}] {image.name} ", coloured(image.status)))


def _label(node: NodeLine) -> Text:
    is_root = node.parent_id is None
    name = "answer" if is_root else str(node.kind)
    sent = f"{pluralize(node.requests, 'request')}, {pluralize(node.tokens, 'token')}"
    text = safe(node.error or "") or clipped(safe_line(node.text or ""), TEXT_WIDTH)
    return Text.assemble(
        (name, "bold" if node.kind == NodeKind.BRANCH or is_root else ""),
        f" {node.id} · images {node.first_position} to {node.last_position} · ",
        coloured(node.status),
        f" · {sent}" if node.requests else "",
        (f"\n{text}" if text else "", "dim"),
    )
