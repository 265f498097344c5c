"""Requests as values: their bodies, their keys, and how replies are reviewed."""
