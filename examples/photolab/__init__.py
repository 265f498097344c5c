"""Paints scenes that look like photographs, from a seed, with Pillow alone."""
