"""Decoding and encoding images: one file for each library."""
