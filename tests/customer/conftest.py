"""One network for each test module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .shop import Shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    opened = Shop.open(tmp_path_factory.mktemp("shop"))
    yield opened
    opened.close()
