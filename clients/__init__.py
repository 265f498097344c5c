"""Edges: one file an outside system, each translating the vendor's errors into ours."""
