"""Decoding and encoding: one file a library."""
