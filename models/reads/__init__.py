"""Named queries that return values. Nothing here writes."""
