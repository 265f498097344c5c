"""``python -m overstory``: the same command as ``overstory``."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
if sys.path and not sys.flags.safe_path and Path(sys.path[0]).resolve() != HERE:
    del sys.path[0]  # the current folder, which may have a person's tasks.py or models.py

from overstory.cli import main  # noqa: E402

main()
