"""Images as decisions: formats, headers, sizes. No decoder is imported here."""
