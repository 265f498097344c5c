"""What people and programs read: results, summaries, tables, progress."""
