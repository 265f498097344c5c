"""Text: citations, numbers, JSON in replies, what may be stored or shown, hashes."""
