"""The summary tree: packing, planning, replanning a changed set, capacity of requests."""
