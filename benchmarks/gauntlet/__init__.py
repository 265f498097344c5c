"""The fault gauntlet: break the real processes in every way we know, and check from outside.

``python -m benchmarks.gauntlet`` runs every row. Each row measures DESIGN.md's promise ("a crash
anywhere loses nothing and pays for nothing twice").
"""
