"""Names that other programs rely on: a change here breaks them and needs a release note."""

from __future__ import annotations

from core import prompts
from core.settings import Settings
from core.stages import STAGES
from core.states import ImageStatus, JobStatus
from models.reads import views
from models.tables import Base
from overstory.cli import COMMANDS
from overstory.output.result import EXIT_STATUS
from workers.app import app


def test_tasks_and_queues():
    names = ["submit", "preprocess", "upload", "infer", "aggregate"]
    assert [stage.name for stage in STAGES] == names
    assert [stage.task for stage in STAGES] == [f"overstory.{name}" for name in names]
    assert {queue.name for queue in app.conf.task_queues} == set(names)
    assert app.conf.task_default_queue == "submit"


def test_tables_and_views():
    tables = {"jobs", "images", "nodes", "calls", "files", "events", "deliveries"}
    tables |= {"endpoint_limits", "endpoint_probes", "tokens", "sessions", "shares", "units"}
    assert set(Base.metadata.tables) == tables
    assert {view.name for view in views.VIEWS} == {
        *("v_jobs", "v_images", "v_nodes", "v_calls", "v_usage_daily", "v_failures"),
        *("v_deliveries", "v_answers", "v_units"),
    }


def test_statuses_and_exit_statuses():
    assert list(ImageStatus) == [
        *("pending", "prepared", "uploaded", "included", "failed", "duplicate", "skipped")
    ]
    ended = {"completed": 0, "partial": 3, "failed": 1, "cancelled": 1}
    assert {str(status): EXIT_STATUS[status] for status in map(JobStatus, ended)} == ended


def test_prompt_texts():
    assert prompts.version() == "3ea003652451"  # a job continues another only with equal texts
    assert set(prompts.TEXTS) >= {
        *("system", "label", "direct", "lines", "followup", "leaf", "branch", "root", "canary"),
        *("nudge_citation", "nudge_length", "nudge_line"),
        *("each", "record", "also_answer", "also_words", "schema", "words", "totals"),
        *("nudge_missing", "nudge_form", "nudge_figure"),
    }


def test_commands():
    assert set(COMMANDS) >= {
        *("run", "estimate", "ask", "add", "remove", "watch-folder", "watch", "jobs", "show"),
        *("tree", "images", "calls", "report", "export", "prompts", "retry", "pause", "resume"),
        *("cancel", "account", "files", "up", "down", "migrate", "reconciler", "prune"),
        *("doctor", "sandbox", "completion"),
    }


def test_settings():
    assert set(Settings.model_fields) >= set(SETTINGS.split())


SETTINGS = """
accelerator api_key attempts_max base_url blob_url broker_url budget budget_day budget_month
call_attempts_max
child_memory_kib concurrency confirm_above connect_timeout_seconds context_tokens cpu_workers
database_url detail endpoint_name fetch_allow_hosts fetch_max_redirects fetch_timeout_seconds
files_max gate_wait_seconds home images_per_request infer_processes inline_when_full lease_seconds
limit_window_seconds limiter_url log_format log_level max_aspect_ratio max_file_bytes
max_image_pixels max_pages metrics_host metrics_port model outage_max_seconds prices prices_days
provider read_timeout_seconds reasoning_effort reasoning_tokens rpm slice_images slot_seconds
skip_folders soft_shutdown_seconds store structured task_events tier tpm traces upload_threads
webhook_attempts_max webhook_hosts webhook_secret
"""
