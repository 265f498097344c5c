"""Exports: one row an image, as JSON lines, CSV, Parquet or Markdown."""
