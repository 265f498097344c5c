"""The two ways of images to the provider, over a slow or distant line made on this machine.

``python -m benchmarks.shaped`` (``make bench-store``); docs/performance.md explains the table.
"""
