"""Exports: one row for each image, as JSON lines, CSV, Parquet or Markdown."""
