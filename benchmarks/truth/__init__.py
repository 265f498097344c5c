"""What preparation and the summary tree cost in truth, measured with ``benchmarks.eyes``."""
