"""Structured answers: JSON Schemas, image records merged in code, totals."""
