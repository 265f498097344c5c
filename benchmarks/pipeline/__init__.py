"""End-to-end benchmark: jobs through the real command, compared with the least possible time.

``python -m benchmarks.pipeline`` (``make bench``); docs/performance.md explains the columns.
"""
