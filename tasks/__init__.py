"""The flow: what each stage does with one unit of work, and the Celery tasks around it."""
