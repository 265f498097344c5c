"""``python -m overstory.sandbox``: the same command as ``overstory sandbox``."""

from overstory.sandbox.command import sandbox

if __name__ == "__main__":
    sandbox()
