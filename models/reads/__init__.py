"""Named questions to the database, as values. Nothing here writes."""
