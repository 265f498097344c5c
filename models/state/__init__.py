"""The only writer of state. A move is a guarded UPDATE, an events row and the resulting fan-in, in
the caller's transaction. What became ready is returned, so that messages are sent after the commit.
"""

from models.state.fanin import images_failed, node_failed, open_node
from models.state.images import (
    image_to_prepare_again,
    images_left_out,
    images_postponed,
    images_prepared,
    images_to_upload_again,
    images_uploaded,
    unpin_later_leaf,
)
from models.state.jobs import (
    adopt,
    close_open_work,
    coverage,
    finish,
    is_paused,
    job_budgeted,
    job_cancelled,
    job_compared,
    job_failed,
    job_moved,
    job_watched,
    pause_running,
    paused_for,
    resume_paused,
)
from models.state.moves import FREE, Moved, PreparedImage, hold_job
from models.state.nodes import (
    leaf_parted,
    node_done,
    node_postponed,
    node_reclaimed,
    node_waits_again,
)
from models.state.second_look import chosen_again, look_again, looked_again
from models.state.splits import split_branch, split_leaf
from models.state.units import answer_units

__all__ = [
    "FREE",
    "Moved",
    "PreparedImage",
    "adopt",
    "answer_units",
    "chosen_again",
    "close_open_work",
    "coverage",
    "finish",
    "hold_job",
    "image_to_prepare_again",
    "images_failed",
    "images_left_out",
    "images_postponed",
    "images_prepared",
    "images_to_upload_again",
    "images_uploaded",
    "is_paused",
    "job_budgeted",
    "job_cancelled",
    "job_compared",
    "job_failed",
    "job_moved",
    "job_watched",
    "leaf_parted",
    "look_again",
    "looked_again",
    "node_done",
    "node_failed",
    "node_postponed",
    "node_reclaimed",
    "node_waits_again",
    "open_node",
    "pause_running",
    "paused_for",
    "resume_paused",
    "split_branch",
    "split_leaf",
    "unpin_later_leaf",
]
