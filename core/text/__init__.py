"""Text: citations, numbers, JSON in replies, text safe to store or show, hashes."""
