"""Networks for the door's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from subak.chain import local

from .paper import Paper
from .small import Small, eventually


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """On a chain that can check P-256 signatures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "HARDFORK", "osaka")
        opened = Paper.open(tmp_path_factory.mktemp("paper"))
        try:
            yield opened
        finally:
            opened.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """With offers of three disks."""
    opened = Small.open(tmp_path_factory.mktemp("small"))
    try:
        eventually(lambda: len(opened.offers()) == 3)
        yield opened
    finally:
        opened.close()
