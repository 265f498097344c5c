"""The whole, measured: jobs through the real command beside the fastest they could have been.

``python -m benchmarks.pipeline`` (``make bench``); docs/performance.md says what the columns mean.
"""
