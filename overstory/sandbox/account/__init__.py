"""One account: its usage, files and prompt cache."""
