"""Overstory answers questions about image sets of any size through a vision model."""

__version__ = "0.1.0"
