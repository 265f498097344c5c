"""The report's script: one module for each part of the page."""
