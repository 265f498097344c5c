"""Real processes and servers that a row of the gauntlet, or a test, breaks; and their judge."""
