"""``python -m overstory.sandbox``: the same command as ``overstory sandbox``."""

import os

from overstory.sandbox.command import sandbox

if __name__ == "__main__":
    os.umask(0o077)
    sandbox()
