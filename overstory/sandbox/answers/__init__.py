"""Answers made of what was seen: words, JSON, citations, and malformed ones on demand."""
