"""The HTTP API: ``overstory serve``. Every request does what a command of the same name does."""
