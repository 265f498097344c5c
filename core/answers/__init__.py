"""Structured answers: JSON Schemas, records of images merged in code, totals."""
