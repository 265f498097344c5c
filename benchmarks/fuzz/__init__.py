"""What strangers may write, made wrong by chance: each case ends soon, as a value or a refusal.

A case is named by its kind and its seed, and its input is the same wherever it runs. Each kind is a
module; ``driver`` runs them in processes that it can kill. ``make fuzz`` and
``python -m benchmarks.fuzz --help`` say how to use it.
"""
