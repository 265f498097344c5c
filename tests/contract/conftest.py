"""What the contract tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.corpus import Bad, Good, build


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Good], list[Bad]]:
    """The folder, the images that can be read, and the files that cannot."""
    folder = tmp_path_factory.mktemp("corpus")
    return folder, *build(folder)
