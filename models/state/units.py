"""Answers about units: written with the node that gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, update

from core.units import answer_block
from models.state.moves import NodeRow, node_row
from models.tables import Job, Unit

_ANSWER = (
    update(Unit)
    .where(
        Unit.job_id == bindparam("job"),
        or_(Unit.number == bindparam("unit"), Unit.duplicate_of == bindparam("unit")),
    )
    .values(answer=bindparam("given", type_=Unit.answer.type))
)


def answer_units(connection: Connection, job_id: str, answers: Mapping[int, Any]) -> None:
    """Record answers by the numbers of units; units with the same images get them too."""
    rows = [{"job": job_id, "unit": number, "given": given} for number, given in answers.items()]
    if rows:
        connection.execute(_ANSWER, rows)


def from_parts(connection: Connection, node: NodeRow, text: str) -> tuple[str, dict[int, Any]]:
    """What ``text`` of a node means where the node is the branch over all parts of a unit: the text
    that the nodes above read, and the answer by the unit's number. Of any other node: ``text``."""
    if node.unit is None or node.parent_id is None:
        return text, {}
    if node_row(connection, node.parent_id).unit is not None:  # a branch over some of its parts
        return text, {}
    schema = (
        connection.execute(select(Job.options).where(Job.id == node.job_id)).scalar_one().schema
    )
    answer = text if schema is None else json.loads(text)
    same = or_(Unit.number == node.unit, Unit.duplicate_of == node.unit)
    names = connection.execute(
        select(Unit.name).where(Unit.job_id == node.job_id, same).order_by(Unit.number)
    ).scalars()
    block = answer_block(tuple(names), (node.first_position, node.last_position), answer)
    return block, {node.unit: answer}
