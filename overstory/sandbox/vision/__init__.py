"""Seeing: images decoded for real and described from their pixels."""
