"""Claims of work: one guarded UPDATE gives a worker a lease on images or a node.

Claims also choose the next job: the running job with the least served for its weight (fair queueing
by what was used, not by what waits), then the older one. A new job starts level with the least
served one, so it neither waits behind a backlog nor displaces others.
"""

from models.claims.images import claim_images, count_images
from models.claims.jobs import job_to_compare, least_served, waiting_work
from models.claims.leases import renew_images, renew_nodes
from models.claims.nodes import (
    claim_node,
    count_nodes,
    give_back,
    next_node,
    open_leaves,
    served,
)
from models.claims.work import Claimed, ImageWork, Lease, NodeWork

__all__ = [
    "Claimed",
    "ImageWork",
    "Lease",
    "NodeWork",
    "claim_images",
    "claim_node",
    "count_images",
    "count_nodes",
    "give_back",
    "job_to_compare",
    "least_served",
    "next_node",
    "open_leaves",
    "renew_images",
    "renew_nodes",
    "served",
    "waiting_work",
]
