"""The fault gauntlet: the real processes, broken in every way we know, judged from outside.

``python -m benchmarks.gauntlet`` runs every row; DESIGN.md's promise ("a crash anywhere loses
nothing and pays for nothing twice") is what each row measures.
"""
