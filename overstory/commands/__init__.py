"""The commands. overstory.cli lists them and imports each one when it is called."""
