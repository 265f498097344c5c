"""One file a command or a family of commands; overstory.cli lists them."""
