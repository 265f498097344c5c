"""Wiring: the Celery app, its queues, the one place that builds clients, process lifecycle."""
