"""``overstory init``: from nothing to a configuration file that works."""
