"""The summary tree: packing, planning, planning a changed set, capacity of requests."""
