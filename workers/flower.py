"""Flower's configuration: ``celery -A workers.app flower --conf=workers/flower.py``.

Flower executes this file and takes its options from the names it defines. Options in the
environment (FLOWER_BASIC_AUTH=user:password) are read before, those of the command line after.
Flower listens on the loopback by default, because anyone who can reach it can stop workers.
"""

import os as _os

from core.settings import load as _load
from workers.flower_hosts import check_hosts as _check_hosts
from workers.flower_hosts import check_password as _check_password
from workers.parent import end_with_parent as _end_with_parent
from workers.redaction import redacted as _shown

address = "127.0.0.1"
tasks_columns = "name,kwargs,state,result,uuid,worker,received,runtime"  # uuid links to the task
natural_time = False
max_tasks = 20_000
purge_offline_workers = 300  # forget workers that were scaled down


def format_task(task):  # type: ignore[no-untyped-def]  # Flower asks for a plain function
    """What the dashboard shows of a task: ids and positions, no prompt text; why it failed."""
    task.args = ""
    task.kwargs = _shown(task.name, task.kwargs)
    task.result = task.result or task.exception
    return task


_os.umask(0o077)
_check_password()
_check_hosts(_load().flower_hosts)
_end_with_parent()
